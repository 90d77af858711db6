/** The page of a deep network, measured, and opened in a browser where there is one. */
import { beforeAll, describe, expect, test } from "vitest";
import { findChromium, openPage } from "../../src/app/cli/browser/chromium.ts";
import { plotPage } from "../../src/app/report/plot/plot.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { temporaryFolder } from "../temporary.ts";

const blocks = 400;
const program = await findChromium().catch(() => undefined);
let page = "";

/** 15 nodes a block, one of them a layer. */
function deepNetwork(): string {
  const weights = Array.from(
    { length: blocks },
    (_, n) => `  "layers.${n}.fc.weight": float32[64, 64] = random(seed ${n})`,
  );
  const nodes = Array.from({ length: blocks }, (_, n) => {
    const name = (node: string): string => `"/model/layers.${n}/${node}"`;
    const steps = Array.from({ length: 13 }, (_, k) => {
      return `  "h${n}.${k + 1}" = ${["Relu", "Neg", "Abs"][k % 3]} ${name(`act_${k}`)} ("h${n}.${k}")`;
    });
    const layer = `  "h${n}.0" = MatMul ${name("fc/MatMul")} ("x${n}", "layers.${n}.fc.weight")`;
    return [layer, ...steps, `  "x${n + 1}" = Add ${name("Add")} ("h${n}.13", "x${n}")`].join("\n");
  });
  const text = [...weights, ...nodes].join("\n");
  return `opset 21\ngraph (x0: float32[batch, 64]) -> ("x${blocks}") {\n${text}\n}`;
}

beforeAll(async () => {
  const model = parseModel(deepNetwork());
  page = await plotPage(model, infer(model), { name: "deep.onnx" });
}, 120_000);

test("a plot of 6,000 nodes and 400 layers has less than 3 MB", () => {
  expect(page).toContain("6,000 nodes, 400 layers");
  expect(page.length).toBeLessThan(3_000_000);
});

describe.skipIf(program === undefined)("a plot in a browser", () => {
  /** The page after its script, and one of the test, ran. */
  async function opened(script: string): Promise<string> {
    const { page: tab, close } = await openPage(temporaryFolder());
    try {
      await tab.setContent(page.replace(/<meta http-equiv[^>]*>/, ""));
      await tab.waitForSelector("html.live");
      await tab.evaluate(script);
      await tab.waitForTimeout(500);
      return (await tab.content()).replace(/<script[\s\S]*?<\/script>/g, "");
    } finally {
      await close();
    }
  }

  test("shows the whole graph from its inputs, and shades what would be removed", { timeout: 120_000 }, async () => {
    const dom = await opened("");
    expect(dom.match(/data-box=/g)).toHaveLength(15 * blocks + 2);
    for (const label of ["x0", "layers.0.fc", "layers.399.fc", "Relu"]) expect(dom).toContain(`>${label}<`);
    expect(dom).toContain(">2,048 of 4,096 would be removed<");
    expect(dom).toMatch(/<path class="gone" d="M/);
  });

  test("zoomed out, shows names of layers that do not overlap", { timeout: 120_000 }, async () => {
    const dom = await opened('document.getElementById("whole").click()');
    const names = [...dom.matchAll(/<text class="name"[^>]*>(layers\.\d+\.fc)</g)].map(([, name]) => name);
    expect(names[0]).toBe("layers.0.fc");
    expect(names.length).toBeGreaterThan(10);
    expect(names.length).toBeLessThan(100);
  });

  test("scrolls to a distant layer that the search finds", { timeout: 120_000 }, async () => {
    const dom = await opened(`const search = document.getElementById("search");
      search.value = "layers.200.fc.weight";
      search.dispatchEvent(new Event("input"));
      search.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
      document.body.dataset.top = document.getElementById("view").scrollTop;`);
    expect(dom).toContain("<h2>layers.200.fc</h2>");
    expect(dom).toContain("what techniques could do");
    expect(Number(/data-top="(\d+)/.exec(dom)?.[1])).toBeGreaterThan(50_000);
  });
});
