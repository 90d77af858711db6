/** Takes files that were dropped on the landing page of the site, which stores them in a database of the origin. */
import type { ChosenFiles } from "./backend/backend.ts";

/** Fragment of the address with which the landing page opens the studio. */
export const handoverFragment = "#open";

/** Name of the database, and of its store. The landing page has the same (`site/.vitepress/theme/drop-zone.ts`). */
const name = "pith-handover";

/** Returns the files and removes them from the database; none if it has none. */
export function takeHandover(): Promise<ChosenFiles> {
  return new Promise((resolve) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(name);
    request.onerror = () => resolve([]);
    request.onsuccess = () => {
      const store = request.result.transaction(name, "readwrite").objectStore(name);
      const files = store.get("model");
      store.delete("model");
      store.transaction.oncomplete = () => {
        request.result.close();
        resolve((files.result as ChosenFiles | undefined) ?? []);
      };
      store.transaction.onabort = () => resolve([]);
    };
  });
}
