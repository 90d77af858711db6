/** Runs the four commands of the guide to transformers.js on a real classifier, and the example page with the result. */
import { readFileSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { isHubInstalled, startHub } from "../app/cli/hub-server.ts";
import { pith } from "../app/cli/run.ts";
import { browser, inBrowser } from "../browser.ts";
import { commandLines } from "../docs/markdown.ts";
import { shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";

const [source, texts] = [shared("data/models/bert_sst2"), shared("data/text/sst2_dev.tsv")];
const guide = readFileSync(new URL("../../docs/transformers-js.md", import.meta.url), "utf8");
// The command on `shakespeare/` stands in a sentence beside its output.
const lines = commandLines(guide.split("## What is written")[0] ?? "").filter(
  ({ words }) => words[1] !== "shakespeare/",
);
const folder = temporaryFolder();
const at = (word: string): string => (/^(minilm|queries)/.test(word) ? join(folder, word) : word);

describe.skipIf(source === undefined || texts === undefined || !isHubInstalled)("the guide", () => {
  afterAll(() => vi.unstubAllEnvs());

  test("has four commands, which write a folder with a card", async () => {
    expect(lines).toHaveLength(4);
    const hub = await startHub("Xenova/all-MiniLM-L6-v2");
    vi.stubEnv("HF_ENDPOINT", hub.url);
    vi.stubEnv("HF_HUB_CACHE", temporaryFolder());
    for (const entry of await readdir(source ?? "", { recursive: true, withFileTypes: true }))
      if (entry.isFile()) {
        const path = join(entry.parentPath, entry.name);
        hub.files.set(relative(source ?? "", path).replaceAll(sep, "/"), await readFile(path));
      }
    const sentences = readFileSync(texts ?? "", "utf8")
      .split("\n")
      .slice(0, 40);
    await writeFile(join(folder, "queries.txt"), sentences.map((line) => line.split("\t")[0]).join("\n"));
    for (const { words } of lines) expect(await pith(...words.map(at))).toMatchObject({ code: 0 });
    hub.close();
    const card = await readFile(join(folder, "minilm.web", "README.md"), "utf8");
    for (const name of ["model.onnx", "model_quantized.onnx", "model_q4.onnx", "model_fp16.onnx"])
      expect(card).toMatch(new RegExp(`\\| onnx/${name} \\| \\d`));
    expect(card).toMatch(/^\| dtype \| file \| .*\| agreement \|/m);
    expect(card).toMatch(/\| q4 .*\| \d+\.\d % of \d+ \(.* … .*\) \|/);
  });

  test.skipIf(browser === undefined)("leads to a page that shows predictions", async () => {
    const page = "/examples/transformers-js/index.html?model=minilm.web&dtype=";
    const shown = async (dtype: string): Promise<unknown> =>
      inBrowser(
        `export default async () => {
          const frame = document.createElement("iframe");
          frame.src = ${JSON.stringify(page + dtype)};
          document.body.append(frame);
          for (let tries = 0; tries < 600; tries++) {
            const { value = "" } = frame.contentDocument?.querySelector("output") ?? {};
            if (/%$/.test(value)) return value;
            await new Promise((later) => setTimeout(later, 200));
          }
          return frame.contentDocument?.body.textContent;
        };`,
        folder,
      );
    for (const dtype of ["q8", "q4"]) expect(await shown(dtype)).toMatch(/^POSITIVE 9\d\.\d %$/);
  });
});
