/** Starts the page: takes over the static start view, follows the address, and prepares the worker. */
import { hydrate, render } from "preact";
import { App } from "./app.tsx";
import { isServed } from "./backend/kind.ts";
import { createBackend } from "./backend/tab.ts";
import { handoverFragment, takeHandover } from "./handover.ts";
import { prepareOffline } from "./offline/register.ts";
import { fragment, sharedResult } from "./share.ts";
import { useBackend } from "./state/jobs.ts";
import { openModel, openPlace, openSamples } from "./state/opening.ts";
import { job, model, show, type ViewName, view, viewNames, wouldLose } from "./state/signals.ts";
import { estimateWhileIdle } from "./state/sizes.ts";
import { keepSessions, storageProblem } from "./storage/keep.ts";
import "virtual:report-style.css";
import "./style/page.css";

useBackend(createBackend());
estimateWhileIdle();
// Storage belongs to an address, and that of a server is another one each time.
if (!isServed) keepSessions();

function followAddress(): void {
  const [name] = location.hash.slice(1).split("?");
  fragment.value = location.hash;
  const requestedView = viewNames.find((each) => each === name) ?? "start";
  const isAvailable = requestedView === "result" ? sharedResult.value !== undefined : model.value !== undefined;
  const available: ViewName = isAvailable ? requestedView : "start";
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

// The start view replaces the fragment.
const isHandover = location.hash === handoverFragment;
addEventListener("beforeunload", (event) => {
  // The browser then asks whether the page may be left.
  if (wouldLose(!isServed && storageProblem.value === undefined)) event.preventDefault();
});
addEventListener("hashchange", followAddress);
followAddress();
const root = document.querySelector("#root");
if (root !== null) {
  // The page contains the start view.
  if (view.value !== "start") root.replaceChildren();
  if (view.value === "start") hydrate(<App />, root);
  else render(<App />, root);
}
// Files that were chosen before this script ran had no listener.
for (const input of document.querySelectorAll<HTMLInputElement>("input[type=file]"))
  if (input.files !== null && input.files.length > 0) input.dispatchEvent(new Event("change", { bubbles: true }));

// A reload would close the dialog in which a user chooses a file.
let isTouched = false;
for (const type of ["pointerdown", "keydown", "dragenter", "change"])
  addEventListener(type, () => (isTouched = true), { capture: true, once: true });

// Without the service worker, the page still works online.
if (import.meta.env.PROD && !isServed)
  prepareOffline(() => !isTouched && model.value === undefined && job.value === undefined).catch(() => {});

/** Opens what the command line of `pith studio` names. The server writes it into the page. */
async function openStart(): Promise<void> {
  const content = document.querySelector<HTMLMetaElement>("meta[name=pith-start]")?.content ?? "{}";
  const start: { readonly model?: string; readonly data?: string } = JSON.parse(content);
  if (start.model === undefined) return;
  await openPlace(start.model);
  if (start.data === undefined || model.value === undefined) return;
  show("samples");
  await openSamples([], start.data);
}

/** Opens what was dropped on the landing page. */
async function openHandover(): Promise<void> {
  const files = await takeHandover();
  if (files.length > 0) await openModel(files);
}

if (isServed) void openStart();
else if (isHandover) void openHandover();
