/** Starts the page: takes over the static start view, follows the address, and prepares the worker. */
import { hydrate } from "preact";
import { App } from "./app.tsx";
import { createTab } from "./backend/tab.ts";
import { model, show, useBackend, type ViewName, view, viewNames } from "./state.ts";
import "./style/page.css";

useBackend(createTab(() => {}));

function followAddress(): void {
  const name = location.hash.slice(1);
  const requestedView = viewNames.find((each) => each === name) ?? "start";
  const available: ViewName = model.value === undefined ? "start" : requestedView;
  if (available !== requestedView) {
    show(available);
    return;
  }
  const hasChanged = view.value !== available;
  view.value = available;
  if (hasChanged) {
    document.querySelector<HTMLElement>("main")?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

addEventListener("hashchange", followAddress);
followAddress();
const root = document.querySelector("#root");
if (root !== null) hydrate(<App />, root);
