/** Starts the page: takes over the static start view, follows the address, and prepares the worker. */
import { hydrate } from "preact";
import { App } from "./app.tsx";
import { createTab } from "./backend/tab.ts";
import { prepareOffline } from "./offline/register.ts";
import { job, model, show, useBackend, type ViewName, view, viewNames } from "./state.ts";
import { keepSessions } from "./storage/keep.ts";
import "./style/page.css";

const backend = createTab();
useBackend(backend);
keepSessions();

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

// Without the service worker, the page still works online.
if (import.meta.env.PROD && backend.kind === "tab")
  prepareOffline(() => model.value === undefined && job.value === undefined).catch(() => {});
