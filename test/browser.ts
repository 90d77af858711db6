/** Runs a module in a real browser, bundled with the compiled library as users bundle it. */
import { dirname } from "node:path";
import { inject } from "vitest";
import { inPage, root } from "./page.ts";
import { temporaryFolder } from "./temporary.ts";

export { browser } from "./page.ts";

/**
 * Returns the resolved default export of the module, as JSON.
 * @param text source of the module, which imports "pith" and its entry points, or files by path.
 * @param models folder that is served as /models/.
 */
export const inBrowser = (text: string, models = root): Promise<unknown> =>
  inPage(text, { modules: dirname(inject("compiled")), models, temporary: temporaryFolder() });
