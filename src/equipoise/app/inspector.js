"use strict";
// Pointing at a map shows its value; a dragged box asks the server for its share of the evidence, and a click, where
// the network says something of every pixel, for the map of that pixel alone.
(() => {
  const maps = new WeakMap();
  let dragged = null;

  function numbers(view) {
    if (!maps.has(view)) {
      const bytes = Uint8Array.from(atob(view.dataset.map), (letter) => letter.charCodeAt(0));
      maps.set(view, {
        values: new Int16Array(bytes.buffer),
        scale: Number(view.dataset.scale),
        rows: Number(view.dataset.rows),
        columns: Number(view.dataset.columns),
        place: view.dataset.place.split(",").map(Number),
      });
    }
    return maps.get(view);
  }

  const clamp = (value) => Math.min(1, Math.max(0, value));

  function position(view, event) {
    const frame = view.getBoundingClientRect();
    return [clamp((event.clientX - frame.left) / frame.width), clamp((event.clientY - frame.top) / frame.height)];
  }

  function say(view, text) {
    const output = view.parentElement.querySelector(".eq-value");
    if (output) output.textContent = text;
  }

  // of a signal a place is a sample, and a box is a span, as high as the picture
  const isSignal = (view) => "signal" in view.dataset;

  function tell(view, [x, y]) {
    const map = numbers(view);
    const [left, top, right, bottom] = map.place;
    const column = Math.floor(((x - left) / (right - left)) * map.columns);
    const row = isSignal(view) ? 0 : Math.floor(((y - top) / (bottom - top)) * map.rows);
    if (column < 0 || row < 0 || column >= map.columns || row >= map.rows) {
      say(view, "The network did not see this part of the photo.");
      return;
    }
    const value = map.values[row * map.columns + column] * map.scale;
    const word = value > 0 ? view.dataset.positive : value < 0 ? view.dataset.negative : "no evidence";
    const place = isSignal(view) ? `sample ${column}` : `row ${row}, column ${column}`;
    say(view, `${place}: ${readable(value)}, ${word}`);
  }

  // as equipoise.naming.number: three digits, and powers of ten only where there is no other way
  function readable(value) {
    const size = Math.abs(value);
    if (!size) return "0";
    const sign = value < 0 ? "−" : "+";
    if (size < 0.0005 || size >= 1e9) {
      const [digits, power] = size.toExponential(1).split("e");
      const raised = [...String(Number(power))].map((one) => (one === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[one])).join("");
      return `${sign}${digits} × 10${raised}`;
    }
    return sign + Number(size.toPrecision(3)).toLocaleString("en", { minimumFractionDigits: 0, maximumSignificantDigits: 3 });
  }

  function cross(view, [x, y]) {
    const mark = view.querySelector(".eq-cross");
    mark.hidden = false;
    mark.style.left = `${100 * x}%`;
    mark.style.top = `${100 * y}%`;
  }

  function spanned(view, from, to) {
    return isSignal(view) ? [[from[0], 0], [to[0], 1]] : [from, to];
  }

  function draw(view, ...corners) {
    const [from, to] = spanned(view, ...corners);
    const box = view.querySelector(".eq-box");
    box.hidden = false;
    box.style.left = `${100 * Math.min(from[0], to[0])}%`;
    box.style.top = `${100 * Math.min(from[1], to[1])}%`;
    box.style.width = `${100 * Math.abs(from[0] - to[0])}%`;
    box.style.height = `${100 * Math.abs(from[1] - to[1])}%`;
  }

  function ask(view, ...corners) {
    const detail = { index: Number(view.dataset.index), box: spanned(view, ...corners).flat() };
    view.dispatchEvent(new CustomEvent("eq-boxed", { bubbles: true, detail }));
  }

  const viewOf = (event) => (event.target instanceof Element ? event.target.closest(".eq-view") : null);

  document.addEventListener("pointerdown", (event) => {
    const view = viewOf(event);
    if (!view || event.button !== 0) return;
    event.preventDefault();
    view.focus({ preventScroll: true });
    dragged = { view, from: position(view, event) };
  });
  document.addEventListener("pointermove", (event) => {
    if (dragged) {
      draw(dragged.view, dragged.from, position(dragged.view, event));
      return;
    }
    const view = viewOf(event);
    if (view) tell(view, position(view, event));
  });
  document.addEventListener("pointerup", (event) => {
    if (!dragged) return;
    const { view, from } = dragged;
    const to = position(view, event);
    dragged = null;
    if (Math.abs(from[0] - to[0]) > 0.01 && (isSignal(view) || Math.abs(from[1] - to[1]) > 0.01)) {
      ask(view, from, to);
    } else {
      view.querySelector(".eq-box").hidden = true;
      tell(view, to);
      if ("clicks" in view.dataset) {
        view.dispatchEvent(new CustomEvent("eq-boxed", { bubbles: true, detail: { index: Number(view.dataset.index), at: to } }));
      }
    }
  });

  // by keyboard: arrows move a pointer, with shift they span a box from where shift was first pressed
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const pointers = new WeakMap();
  document.addEventListener("keydown", (event) => {
    const view = viewOf(event);
    if (!view) return;
    const pointer = pointers.get(view) ?? { at: [0.5, 0.5], anchor: null };
    pointers.set(view, pointer);
    if (event.key === "Enter" && pointer.anchor) {
      ask(view, pointer.anchor, pointer.at);
    } else if (event.key in steps) {
      event.preventDefault();
      if (event.shiftKey) pointer.anchor ??= [...pointer.at];
      else pointer.anchor = null;
      pointer.at = pointer.at.map((value, axis) => clamp(value + steps[event.key][axis] * 0.02));
      cross(view, pointer.at);
      if (pointer.anchor) draw(view, pointer.anchor, pointer.at);
      else view.querySelector(".eq-box").hidden = true;
      tell(view, pointer.at);
    }
  });
})();
