/** Installs the service worker. Reloads the page once if its host did not send the headers that threads require. */

/** Milliseconds after which the large files are stored, so that they do not delay the first model. */
const largeFilesDelay = 2000;
const reloadedKey = "pith-studio reloaded";

/** @param isUnused whether the user has not started anything, so that a reload loses nothing. */
export async function prepareOffline(isUnused: () => boolean): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  await navigator.serviceWorker.register("./service-worker.js");
  const { active } = await navigator.serviceWorker.ready;
  if (!crossOriginIsolated && isUnused() && sessionStorage.getItem(reloadedKey) === null) {
    // A browser that does not isolate the page must not reload it forever.
    sessionStorage.setItem(reloadedKey, "yes");
    location.reload();
    return;
  }
  setTimeout(() => active?.postMessage("the page has loaded"), largeFilesDelay);
}
