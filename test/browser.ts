/** Runs a module in a real browser, bundled with the compiled library as users bundle it. */
import { dirname } from "node:path";
import { inject } from "vitest";
import { inPage, root } from "./page.ts";
import { temporaryFolder } from "./temporary.ts";

export { browser } from "./page.ts";

/**
 * What the module's default export resolves to, as JSON.
 * @param text The module, which imports "pith" and its parts, or files by their paths.
 * @param models A folder that is served as /models/.
 */
export const inBrowser = (text: string, models = root): Promise<unknown> =>
  inPage(text, { modules: dirname(inject("compiled")), models, temporary: temporaryFolder() });
