
"use strict";
(() => {
  const items = [...document.querySelectorAll("#pictures > li")];
  const tags = items.map((item) => JSON.parse(item.dataset.tags));
  const selects = [...document.querySelectorAll("select[data-filter]")];
  const count = document.getElementById("count");

  // an option's value is "=" and the tag, so that an empty tag is not the choice of all
  function filter() {
    let shown = 0;
    items.forEach((item, index) => {
      const fits = selects.every((one) => one.value === "" || one.value === "=" + tags[index][one.dataset.filter]);
      item.hidden = !fits;
      shown += fits ? 1 : 0;
    });
    count.textContent = shown + " of " + items.length + " pictures";
  }
  selects.forEach((one) => one.addEventListener("change", filter));
  document.getElementById("filters")?.addEventListener("submit", (event) => event.preventDefault());
  if (items.length) filter(); // a browser may restore the choice of an earlier visit

  // numbers first, by size, then texts; rows that are equal keep their order
  function compare(left, right) {
    const [a, b] = [left.dataset.value, right.dataset.value];
    if (a !== undefined && b !== undefined) return Number(a) - Number(b);
    if (a !== undefined) return -1;
    if (b !== undefined) return 1;
    return left.textContent.localeCompare(right.textContent, undefined, { numeric: true });
  }

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((one, other) => (down ? -1 : 1) * compare(one.cells[column], other.cells[column]));
        table.tBodies[0].replaceChildren(...rows);
      });
    });
  }
})();
