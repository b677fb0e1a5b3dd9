"""The page itself: gradio's controls wired to the views; everything that computes is elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import gradio as gr

from equipoise.app import files, lines, markup, taking
from equipoise.app.controls import (
    BOXED,
    OPENED,
    PICKED,
    Choice,
    PageContent,
    TakeHome,
    complaint,
    examples_html,
    greeting,
    guarded,
    in_turn,
    known_html,
    lane_of,
    network_choices,
    request_stop,
    within,
)
from equipoise.app.drawing import MODES
from equipoise.app.examples import takes
from equipoise.app.following import Following, State
from equipoise.app.opening import Opening
from equipoise.app.session import OWN, Explained, Session
from equipoise.app.uploads import Uploads, of_photo, photo_input
from equipoise.app.views import comparing, covering, explaining, inserting, randomizing
from equipoise.errors import EquipoiseError, OptionError
from equipoise.metrics import CANVASES

FIRST_METHODS: Final = (OWN, "grad_cam", "lrp_composite", "contrastive_eb")
VIEWS: Final = ("Explain", "Compare", "Insert and delete", "Sanity", "Coverage")

_QUEUE: Final[dict[str, Any]] = {"concurrency_id": "quick", "concurrency_limit": 16, "show_progress": "minimal"}
_LIVE: Final[dict[str, Any]] = _QUEUE | {"trigger_mode": "always_last"}
# a new photo is told of with what was chosen of the old one, which gradio's own check would show as an error
_SHOWN: Final[dict[str, Any]] = {"preprocess": False}
_SLOW: Final[dict[str, Any]] = {"concurrency_id": "slow", "concurrency_limit": 8, "show_progress": "hidden"}

_AS_IT_IS: Final = (gr.skip(),) * 4


class Page:
    """The controls of the page, laid out by `build`, and what they do.

    Args:
        content: What the page is made of.
    """

    def __init__(self, content: PageContent) -> None:
        self.content = content
        content.visitors.dropped = self._dropped
        self.blocks = gr.Blocks(
            title="equipoise: what did the network see?", analytics_enabled=False, delete_cache=(600, files.KEPT)
        )
        with self.blocks:
            gr.HTML(f'<div class="eq-head"><h1>What did the network see?</h1><p>{self._head()}</p></div>')
            self.session = gr.State(None)
            self.opened = gr.State(0)
            self.curves = gr.State(None)
            self.active = gr.State(VIEWS[0])
            with gr.Row(elem_id="columns"):
                with gr.Column(scale=1, min_width=290, elem_id="given"):
                    self._photo_column()
                with gr.Column(scale=3, min_width=320, elem_id="answers"):
                    with gr.Row(elem_id="now"):
                        self.status = gr.HTML("", elem_id="status")
                        self.stop = gr.Button("Stop", size="sm", scale=0, min_width=90, elem_id="stop")
                    self._controls()
                    with gr.Tabs(elem_id="views"):
                        self._views()
            self._wire()

    def _head(self) -> str:
        prepares = self.content.networks[self.content.networks.names[0]].prepares
        if all(takes(how)[0] for how in prepares.values()) and len(prepares) == 1:
            what = "Give it a photo. The network says what is in it, and the map shows which pixels speak"
        else:
            what = "Show it something. The network says what that is, and the map shows which parts speak"
        return f"{what} for that and which against it."

    def _photo_column(self) -> None:
        names = self.content.networks.names
        self.uploads = Uploads(self.content.networks, self.content.reader.names)
        self.opening = Opening(self.content, self.uploads)
        self.examples = gr.HTML(examples_html(self.content.examples(names[0])), js_on_load=PICKED)
        self.model = gr.Dropdown(
            network_choices(names), value=names[0], label="Network", interactive=True, visible=len(names) > 1
        )
        self.known = gr.HTML(known_html(self.content.networks[names[0]]), elem_id="known")
        self.checked = gr.CheckboxGroup([], label="Its highest classes", visible=False)
        self.others = gr.Dropdown([], multiselect=True, allow_custom_value=True, visible=False)
        with gr.Accordion("Why this rather than that", open=False, visible=False) as self.contrast:
            self.this = gr.Dropdown([], label="Why this", elem_id="this")
            self.that = gr.Dropdown([], label="rather than that", elem_id="that")
        with gr.Column(visible=False) as self.pair:
            self.other_photo = photo_input(
                label="How like another photo it is: drop or choose the other", height=180, alt_text="The other photo"
            )

    def _controls(self) -> None:
        with gr.Row(elem_id="handles"):
            self.gamma = gr.Slider(
                1.0, 2.0, 1.0, step=0.05, label="gamma: how much evidence to keep", elem_id="gamma", scale=3
            )
        self.wrt = gr.Radio([("each", "")], value="", label="Inputs whose maps are shown", visible=False)
        with gr.Accordion("How maps are drawn", open=False, elem_id="drawn"):
            self.mode = gr.Radio(list(MODES), value="overlay", label="Show")
            self.opacity = gr.Slider(0.0, 1.0, 0.9, step=0.05, label="Opacity of the strongest color")
            self.safe = gr.Checkbox(False, label="Orange and blue, for eyes that see red as dark")
            self.seen = gr.Checkbox(False, label="Beside the maps, the picture that the network really saw")

    def _views(self) -> None:
        with gr.Tab(VIEWS[0]) as explain:
            self.explained = gr.HTML(
                markup.start(greeting(self.content.networks[self.content.networks.names[0]])), js_on_load=BOXED,
                elem_id="explained",
            )  # fmt: skip
            self.share = gr.HTML("", elem_id="share", elem_classes="eq-share")
            self.take_explained = TakeHome.make("take-explained")
        with gr.Tab(VIEWS[1]) as compare:
            self.methods = gr.CheckboxGroup(
                comparing.method_choices(costly=False), value=list(FIRST_METHODS), elem_classes="eq-methods",
                label="Methods, on the chosen classes",
                info=f"Each takes the time of so many forward and backward passes, measured on {comparing.MEASURED}.",
            )  # fmt: skip
            slow = comparing.method_choices(costly=True)
            with gr.Accordion(f"{len(slow)} slow methods, which run the network many times", open=False):
                self.slow = gr.CheckboxGroup(slow, value=[], label="Slow methods", elem_classes="eq-methods")
            self.compare = gr.Button("Compare", variant="primary")
            self.compared = gr.HTML("", elem_id="compared")
            self.take_compared = TakeHome.make("take-compared")
        with gr.Tab(VIEWS[2]) as insert:
            with gr.Row():
                self.way = gr.Radio(["insertion", "deletion"], value="insertion", label="Show or hide pixels")
                self.canvas = gr.Dropdown(list(CANVASES), value="blur", label="What is there without them")
            self.insert = gr.Button("Ask the network, for the first chosen class", variant="primary")
            self.amount = gr.Slider(0.0, 1.0, 0.1, step=0.01, label="Share of the pixels", elem_id="amount")
            self.inserted = gr.HTML(markup.how_to_read(inserting.BEFORE), elem_id="inserted")
            self.take_inserted = TakeHome.make("take-inserted")
        with gr.Tab(VIEWS[3]) as sanity:
            self.depth = gr.Slider(
                0, randomizing.STOPS, 0, step=1, elem_id="depth",
                label="Layers drawn at random, from the logits down; the map of the first chosen class",
            )  # fmt: skip
            self.randomized = gr.HTML("", elem_id="randomized")
            self.take_randomized = TakeHome.make("take-randomized")
        with gr.Tab(VIEWS[4]) as coverage:
            self.covered = gr.HTML("", elem_id="covered")
            self.take_covered = TakeHome.make("take-covered")
        self.tabs = dict(zip(VIEWS, (explain, compare, insert, sanity, coverage), strict=True))

    def _wire(self) -> None:
        self._all = [
            self.session, self.checked, self.others, self.this, self.that, self.gamma, self.mode, self.opacity,
            self.safe, self.seen, self.wrt,
        ]  # fmt: skip
        self._wire_photo()
        self._wire_live()
        self._wire_work()
        self._wire_files()
        self.stop.click(request_stop, self.session, None, queue=False, show_progress="hidden")
        self.blocks.unload(self._left)

    def _wire_photo(self) -> None:
        given = [*self.uploads.components, self.model, self.opened, self.mode, self.canvas]
        outputs = [
            self.session, self.checked, self.others, self.contrast, self.this, self.that, self.pair,
            self.other_photo, self.curves, self.compared, self.inserted, self.share, self.opened, self.wrt, self.mode,
            self.seen, self.canvas, self.status,
        ]  # fmt: skip
        work = self.opening.given
        for place, slot in enumerate(self.uploads.slots):
            filled = [*slot.components, *outputs]
            slot.photo.input(self.opening.filled(place, of_photo, array=False), given, filled, **_LIVE)
            for moved in (slot.array.upload, slot.array.clear):  # the one may come while the other is at work
                moved(self.opening.filled(place, self.uploads.of_array, array=True), given, filled, **_LIVE)
            slot.key.input(work, given, outputs, **_LIVE)
        described = [self.examples, self.known, self.explained, *self.uploads.columns]
        chosen = self.model.input(
            guarded(self._described, len(described)), self.model, [*described, self.status], **_QUEUE
        )
        chosen.success(work, given, outputs, **_QUEUE)
        picked = self.examples.select(
            self._pick, self.model, [*self.uploads.components, self.status], show_progress="hidden"
        )
        picked.success(work, given, outputs, **_QUEUE)
        self.other_photo.input(
            guarded(self._paired, 1), [self.session, self.others, self.other_photo], [self.others, self.status],
            **_QUEUE,
        )  # fmt: skip
        self.opened.change(None, js=OPENED)
        # only once a photo was opened: what is wrong with another must stay on the page
        self.opened.change(self._refresh(), self._refresh_inputs(), self._refresh_outputs(), **_QUEUE, **_SHOWN)

    def _wire_live(self) -> None:
        live = (
            self.checked, self.this, self.that, self.gamma, self.mode, self.opacity, self.safe, self.seen, self.depth,
            self.wrt,
        )  # fmt: skip
        # a class typed in full, and one that a click adds, are no input to gradio
        moved = [*(one.input for one in live), self.others.change]
        gr.on(moved, self._refresh(), self._refresh_inputs(), self._refresh_outputs(), **_LIVE, **_SHOWN)
        for name, tab in self.tabs.items():
            chosen = tab.select(lambda name=name: name, None, self.active, show_progress="hidden")
            chosen.then(self._refresh(), self._refresh_inputs(), self._refresh_outputs(), **_LIVE, **_SHOWN)
        self.explained.select(self._pointed, self._all, [self.share, self.others, self.status], **_QUEUE)

    def _wire_work(self) -> None:
        take = self.take_compared
        asked = [*self._all, self.methods, self.slow]
        shown = [self.compared, take.python, take.command, self.status]
        quick = self.compare.click(self._compare_quick, asked, shown, **_QUEUE)
        quick.then(self._compare_slow, asked, shown, **_SLOW)
        take = self.take_inserted
        self.insert.click(
            self._insert, [*self._all, self.way, self.canvas, self.amount],
            [self.curves, self.inserted, take.python, take.command, self.status], **_SLOW,
        )  # fmt: skip
        self.amount.input(
            guarded(self._reveal, 1), [*self._all, self.curves, self.amount], [self.inserted, self.status], **_LIVE
        )

    def _wire_files(self) -> None:
        for take, contents, inputs in (
            (self.take_explained, taking.explained, self._all),
            (self.take_compared, taking.compared, [*self._all, self.methods, self.slow]),
            (self.take_inserted, taking.inserted, [*self._all, self.curves]),
            (self.take_randomized, taking.randomized, [*self._all, self.depth]),
            (self.take_covered, taking.covered, self._all),
        ):
            kind = _SLOW if take is self.take_compared else _QUEUE
            make = guarded(taking.written(self.content.folder, contents), 1)
            take.button.click(make, inputs, [take.files, self.status], **kind)

    # What the controls do.

    def _left(self, request: gr.Request) -> None:
        """The tab was closed."""
        self.content.visitors.gone(str(request.session_hash))

    def _dropped(self, visitor: str) -> None:
        """The tab was closed long ago; gradio would keep all that the page showed there."""
        holder = self.blocks.state_holder
        with holder.lock:
            holder.session_data.pop(visitor, None)
            holder.time_last_used.pop(visitor, None)

    def _choice(self, values: Sequence[Any], *, slow: bool = False) -> Choice:
        choice = Choice.of(values, slow=slow)
        self.content.visitors.works(values[0])
        return choice

    def _pick(self, event: gr.EventData, model: str) -> tuple[Any, ...]:
        index = event._data["index"]  # noqa: SLF001  # where gradio keeps what was sent
        return guarded(self._picked, len(self.uploads.components))(model, index)

    def _picked(self, model: str, index: object) -> tuple[Any, ...] | None:
        copied = self.content.picked(model, index)
        return tuple(self.uploads.filled(model, copied)) if copied else None

    def _described(self, model: str) -> tuple[Any, ...]:
        network = self.content.networks[model]
        shown = examples_html(self.content.examples(model)), known_html(network), markup.start(greeting(network))
        return *shown, *self.uploads.seen(model)

    def _paired(self, session: Session | None, others: list[str], path: str | None) -> tuple[Any]:
        if session is None or path is None:
            raise OptionError("choose a photo first, then the other")
        kept = [one for one in others if not one.startswith("similarity:")]
        return (gr.update(value=[*kept, session.compare_with(path, self.content.reader.photo)]),)

    def _refresh_inputs(self) -> list[Any]:
        return [*self._all, self.active, self.depth]

    def _refresh_outputs(self) -> list[Any]:
        takes = (self.take_explained, self.take_randomized, self.take_covered)
        return [
            self.explained, self.randomized, self.covered,
            *(part for take in takes for part in (take.python, take.command)),
            self.share, self.status,
        ]  # fmt: skip

    def _refresh(self) -> Callable[..., Iterator[tuple[Any, ...]]]:
        """What is shown of the view in front; a view at the back is made when it comes to the front."""
        return in_turn(self._show, len(self._refresh_outputs()) - 1, lane_of)

    def _show(self, *given: Any) -> tuple[Any, ...] | None:
        *values, active, depth = given
        if values[0] is None:
            return None
        shown: list[Any] = [gr.skip()] * 10
        choice = self._choice(values)
        of_view = depth if active == VIEWS[3] else None
        asked = repr(([str(one) for one in choice.targets], choice.gamma, choice.style, choice.wrt, of_view))
        # gradio tells of one photo three times; a view that stands must stay, with the box that a visitor drew on it
        if choice.session.shown.get(active) == asked:
            return tuple(shown)
        session, target, gamma, style = choice.session, choice.targets[0], choice.gamma, choice.style
        if active == VIEWS[0]:
            shown[0] = explaining.explain(session, choice.targets, gamma, style, wrt=choice.wrt)
            shown[3:5] = lines.explain_python(choice.asked), lines.explain_command(choice.asked)
            shown[9] = ""
        elif active == VIEWS[3]:
            place = round(within(depth, 0, len(randomizing.steps(session)) - 1))
            shown[1] = randomizing.show(session, target, gamma, place, style, wrt=choice.wrt)
            layers = len(randomizing.steps(session)[place].layers)
            shown[5:7] = lines.sanity_python(choice.asked, layers), _command(lines.recipe_command("fig7", choice.asked))
        elif active == VIEWS[4]:
            shown[2] = covering.show(choice.part, target, gamma)
            shown[7:9] = lines.coverage_python(choice.asked), lines.explain_command(choice.asked)
        # two that were made at the same time: who is last changes nothing
        if session.shown.get(active) == asked:
            return (gr.skip(),) * len(shown)
        session.shown[active] = asked
        return tuple(shown)

    def _pointed(self, event: gr.EventData, *given: Any) -> tuple[Any, ...]:
        asked = event._data  # noqa: SLF001  # where gradio keeps what the page sent
        return guarded(self._clicked if "at" in asked else self._share, 2)(*given, asked)

    def _clicked(self, *given: Any) -> tuple[Any, Any]:
        *values, asked = given
        choice, others = self._choice(values), values[2]
        part, _ = _pointed_at(choice, asked)
        across, down = (min(max(float(share), 0.0), 1.0) for share in asked["at"])
        return gr.skip(), gr.update(value=list(dict.fromkeys([*others, part.pixel_at(across, down)])))

    def _share(self, *given: Any) -> tuple[Any, Any]:
        *values, asked = given
        choice = self._choice(values)
        part, target = _pointed_at(choice, asked)
        left, top, right, bottom = (min(max(float(edge), 0.0), 1.0) for edge in asked["box"])
        options = comparing.method_options(OWN, choice.gamma)
        said = explaining.in_box(part, target, (left, top, right, bottom), OWN, options)
        return markup.message(said), gr.skip()

    def _compare_quick(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        *values, fast, slow = given
        if fast or not slow:
            yield from self._compare(self._choice, values, fast)
        else:
            yield _AS_IT_IS

    def _compare_slow(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        *values, fast, slow = given
        stopped = values[0] is not None and fast and values[0].stop.wanted
        if slow and not stopped:  # what is quick is there already
            yield from self._compare(partial(self._choice, slow=True), values, [*fast, *slow])
        else:
            yield _AS_IT_IS

    @staticmethod
    def _compare(
        choose: Callable[[Sequence[Any]], Choice], values: Sequence[Any], methods: Sequence[str]
    ) -> Iterator[tuple[Any, ...]]:
        try:
            choice = choose(values)
            python = lines.compare_python(choice.asked, methods)
            command = lines.explain_command(choice.asked, methods)
            for found in comparing.compare(
                choice.session, choice.targets, methods, choice.gamma, choice.style, wrt=choice.wrt
            ):
                if isinstance(found, State):
                    yield gr.skip(), gr.skip(), gr.skip(), markup.working(found)
                else:
                    yield found, python, command, ""
        except EquipoiseError as error:
            yield gr.skip(), gr.skip(), gr.skip(), complaint(error)

    def _insert(self, *given: Any) -> Iterator[tuple[Any, ...]]:
        *values, way, canvas, amount = given
        nothing = [gr.skip()] * 4
        try:
            choice = self._choice(values, slow=True)
            part = choice.part
            job = Following(
                f"Pixels {'shown' if way == 'insertion' else 'hidden'}",
                partial(inserting.curves, part, choice.targets[0], choice.gamma, mode=way, canvas=canvas),
                part.stop, part.network.lane,
            )  # fmt: skip
            for state in job.states():
                yield *nothing, markup.working(state)
            made = job.result
            yield (
                made,
                inserting.show(choice.session, made, amount),
                lines.insert_python(choice.asked, mode=way, canvas=canvas),
                _command(lines.recipe_command(way, choice.asked, [f"canvas={canvas}"])),
                "",
            )
        except EquipoiseError as error:
            yield *nothing, complaint(error)

    def _reveal(self, *given: Any) -> tuple[str]:
        *values, made, amount = given
        if made is None:
            raise OptionError("ask the network first; then the slider shows the pixels")
        return (inserting.show(self._choice(values).session, made, amount),)


def _pointed_at(choice: Choice, asked: Mapping[str, Any]) -> tuple[Session, Explained]:
    """Of which input and target the map is that a visitor pointed at."""
    maps = explaining.explained(choice.session, choice.targets, choice.wrt)
    return maps[min(max(int(asked["index"]), 0), len(maps) - 1)]


def _command(text: str) -> Any:
    """A command to show, where there is one."""
    return gr.update(value=text, visible=bool(text))
