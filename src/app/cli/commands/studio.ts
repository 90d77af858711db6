/** The command `pith studio`: serves the page on which a model becomes smaller, with the native runtime. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import { fileError } from "#ir";
import { option } from "#pass";
import { root } from "#root";
import { temporaryFolder } from "../../../core/platform/node-temporary.ts";
import { defineCommand } from "../command.ts";
import { requireModel } from "../files/model-path.ts";
import { serveStudio } from "../studio/server.ts";
import { createSessionProcess } from "../studio/session-process.ts";

export default defineCommand({
  name: "studio",
  summary: "serve a local web page that makes a model smaller, until stopped",
  arguments: [{ name: "model.onnx", description: "the model that the page opens", isOptional: true }],
  options: v.object({
    data: option(v.string(), "samples that the page opens: a folder or file of images, text, tables, arrays or sound", {
      value: "path",
    }),
    port: option(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535)), "port (default: a free one)", {
      value: "n",
    }),
    open: v.pipe(
      v.optional(v.boolean(), true),
      v.description("open the page in the browser"),
      v.metadata({ negated: "print the address, and do not open it in the browser" }),
    ),
  }),
  isDeterministic: true,
  examples: ["studio", "studio model.onnx --data photos/", "studio model.onnx --no-open --port 8080"],
  async run([model], { data, port = 0, open }, { terminal, signal }) {
    const buildFolder = join(fileURLToPath(root()), "studio");
    if (!existsSync(join(buildFolder, "page", "index.html")))
      throw fileError(`The page is not in ${buildFolder}.`, { hint: "Run npm run build in the clone." });
    if (model !== undefined) await requireModel(model);
    if (data !== undefined) await requireModel(data);
    const start = { model: pathOf(model), data: pathOf(data) };
    const folder = await temporaryFolder();
    const session = createSessionProcess({
      module: new URL("studio/session.js", root()),
      folder: folder.path,
      paths: Object.values(start).filter((path) => path !== undefined),
    });
    let closeBrowserFile = async (): Promise<void> => {};
    try {
      const onVisit = (): void => void closeBrowserFile();
      const server = await serveStudio({
        page: join(buildFolder, "page"),
        uploads: folder.path,
        session,
        start,
        port,
        onVisit,
      });
      terminal.note("studio", `Pith Studio: ${server.address} (for one visit; Ctrl-C ends)`);
      if (open) closeBrowserFile = await openInBrowser(server.address);
      if (!signal.aborted) await once(signal, "abort");
      server.close();
      return { json: {}, print: (to) => to.line("Pith Studio has ended.") };
    } finally {
      await closeBrowserFile();
      await session.end();
      await folder.remove();
    }
  },
});

const pathOf = (place: string | undefined): string | undefined =>
  place === undefined || /^https?:/i.test(place) ? place : resolve(place);

/**
 * Opens an address in the user's browser, through a private file that redirects, because other accounts can read arguments of processes.
 * @returns a function that removes the file.
 */
export async function openInBrowser(address: string): Promise<() => Promise<void>> {
  const folder = await temporaryFolder();
  const file = join(folder.path, "pith-studio.html");
  await writeFile(file, `<!doctype html><meta http-equiv="refresh" content="0; url=${address}">`, { mode: 0o600 });
  const [program, ...words]: readonly [string, ...string[]] =
    process.platform === "win32"
      ? ["rundll32", "url.dll,FileProtocolHandler", file]
      : [process.platform === "darwin" ? "open" : "xdg-open", file];
  spawn(program, words, { stdio: "ignore", detached: true })
    .on("error", () => {})
    .unref();
  return () => folder.remove();
}
