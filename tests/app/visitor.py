"""A visitor without a browser: asks a running page what the page's own script would ask, and remembers its controls."""

import json
import secrets
import threading
from contextlib import contextmanager

import httpx

from patience import PATIENCE

API = "gradio_api"


class RefusedError(Exception):
    """What the page answered in place of doing it."""


class Visitor:
    """One tab.

    Args:
        address: Of the page.
        headers: Sent with everything.
    """

    def __init__(self, address, **headers):
        self.client = httpx.Client(base_url=address, timeout=PATIENCE, headers=headers)
        self.tab = secrets.token_hex(6)
        answer = self.client.get("config")
        answer.raise_for_status()
        config = answer.json()
        self.parts = {one["id"]: one["props"] for one in config["components"]}
        self.events = config["dependencies"]
        self.values = {key: props.get("value") for key, props in self.parts.items()}
        self.seen = []

    def parts_called(self, name):
        """The numbers of the controls with a label, text or id on the page."""
        asked = ("label", "elem_id", "value")
        return [key for key, props in self.parts.items() if name in [props.get(one) for one in asked]]

    def part(self, name):
        """The number of the first of them."""
        return self.parts_called(name)[0]

    def event(self, name, trigger):
        """What is asked when something is done with a control."""
        wanted = [[key, trigger] for key in self.parts_called(name)]
        return next(one for one in self.events if any(target in wanted for target in one["targets"]))

    def following(self, event):
        """What the page's script asks after an event."""
        return [one for one in self.events if one["trigger_after"] == event["id"]]

    def upload(self, data, name="photo.png"):
        """Send a file; what the page is then told of it."""
        answer = self.client.post(f"{API}/upload", files={"files": (name, data)})
        if answer.status_code != 200:
            raise RefusedError(answer.text)
        return {"path": answer.json()[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def ask(self, event, said=None):
        """Do what an event does, with the controls as they are; returns every answer on the way, by control."""
        given = [self.values[key] for key in event["inputs"]]
        body = {"data": given, "fn_index": event["id"], "session_hash": self.tab, "trigger_id": event["targets"][0][0]}
        answer = self.client.post(f"{API}/queue/join", json=body | ({} if said is None else {"event_data": said}))
        if answer.status_code != 200:
            raise RefusedError(answer.text)
        return self._until_done(event, answer.json()["event_id"])

    def _until_done(self, event, number):
        with self.client.stream("GET", f"{API}/queue/data", params={"session_hash": self.tab}) as stream:
            for line in stream.iter_lines():
                if not line.startswith("data: "):
                    continue
                message = json.loads(line[6:])
                if message.get("event_id") not in {None, number}:
                    continue
                if message["msg"] in {"process_generating", "process_completed"}:
                    if not message["success"]:
                        raise RefusedError(message["output"])
                    self._note(event, message["output"])
                if message["msg"] == "process_completed":
                    return self
                if message["msg"] in {"unexpected_error", "server_stopped"}:
                    raise RefusedError(message)
        raise RefusedError("no answer")

    def _note(self, event, output):
        for key, value in zip(event["outputs"], output.get("data") or (), strict=False):
            changes = value if isinstance(value, list) and value and isinstance(value[0], list) else None
            if isinstance(value, dict) and value.get("__type__") == "update":
                self.values[key] = value.get("value", self.values[key])
            elif changes is None:
                self.values[key] = value
            else:  # what is different from the last answer
                for action, path, new in changes:
                    if not path:
                        self.values[key] = (self.values[key] or "") + new if action == "append" else new
        self.seen.append({key: self.values[key] for key in event["outputs"]})

    def stops(self, name="stop"):
        """Press the stop button, whose work waits for nobody's."""
        event = self.event(name, "click")
        body = {"data": [None] * len(event["inputs"]), "fn_index": event["id"], "session_hash": self.tab}
        answer = self.client.post(f"{API}/run/predict", json=body)
        if answer.status_code != 200:
            raise RefusedError(answer.text)

    def says(self, name):
        """What stands in a part of the page."""
        return self.values[self.part(name)] or ""

    def opens(self, photo, place="Photo: drop, paste or choose"):
        """Give a photo, and look at what is shown."""
        self.values[self.part(place)] = photo
        trigger = "input" if "hoto" in place else "upload"
        self.ask(self.event(place, trigger))
        return self

    def looks(self):
        """What is shown once a photo was opened."""
        refresh = next(one for one in self.events if [one["targets"][0][1]] == ["change"] and len(one["inputs"]) == 13)
        return self.ask(refresh)

    @contextmanager
    def here(self):
        """The tab is open; at the end it is closed."""
        closed = threading.Event()

        def stay():
            try:
                where = f"{self.client.base_url}{API}/heartbeat/{self.tab}"
                with httpx.stream("GET", where, timeout=PATIENCE) as stream:
                    for _ in stream.iter_lines():
                        if closed.is_set():
                            return
            except httpx.HTTPError:
                return

        thread = threading.Thread(target=stay, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            closed.set()
            self.client.close()
