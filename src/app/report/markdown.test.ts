import { expect, test } from "vitest";
import { evilName, exampleRun } from "../../../test/app/report/example-run.ts";
import { reportMarkdown, variantsMarkdown } from "./markdown.ts";
import { codeSpan, escapeMarkdown } from "./markdown-text.ts";

test("writes a row for the original and each variant, with equally many cells", () => {
  const lines = variantsMarkdown(exampleRun).split("\n");
  expect(lines).toHaveLength(2 + 1 + exampleRun.variants.length);
  expect(new Set(lines.map((line) => line.match(/(?<!\\)\|/g)?.length)).size).toBe(1);
  expect(lines[0]).toContain("| brotli | MACs | accuracy | change, points | speed |");
  expect(lines.at(-1)).toContain("| **prune + train + quantize** | 440 kB (");
  expect(lines.at(-1)).toContain("| 91.9 % (90.2 % … 93.6 %) | −0.7 (−1.9 … +0.5) | 2.20 × (");
  expect(lines[3]).toContain("| 1.20 × (");
  expect(lines[4]).toContain("factorize<br>nothing changed: every layer was rejected | – | – | – | – |");
});

test("escapes names so that they cannot become markup or end a cell", () => {
  const original = { ...exampleRun.original, name: `a|b\n# ${evilName} [x](y)` };
  const [first] = exampleRun.variants;
  const variants = first === undefined ? [] : [{ ...first, name: `${evilName} | x` }];
  const text = reportMarkdown({ ...exampleRun, original, variants, chosen: 0 });
  expect(text).not.toContain("<script>");
  expect(text.split("\n")[0]).toBe('### a\\|b \\# &#60;script&#62;alert("x")&#60;/script&#62; \\[x\\](y)');
  expect(text).toContain("\\| x** |");
});

test("escapes underscores only at the edge of a word", () => {
  expect(escapeMarkdown("onnx/model_q4f16.onnx _a_ __b__")).toBe("onnx/model_q4f16.onnx \\_a\\_ \\_\\_b\\_\\_");
});

test.each([
  ["@name", "@&#8203;name"],
  ["a@b.de", "a@&#8203;b.de"],
  ["https://a.de and www.a.de", "https:&#8203;//a.de and www&#8203;.a.de"],
  ["owner/repo#1, GH-1", "owner/repo\\#&#8203;1, GH-&#8203;1"],
])("does not let GitHub link or notify %s", (text, escaped) => {
  expect(escapeMarkdown(text)).toBe(escaped);
});

test("escapes the metric name in the title row of a table", () => {
  const text = variantsMarkdown({ ...exampleRun, metric: { ...exampleRun.metric, name: `a|b\n${evilName}` } });
  expect(text.split("\n")[0]).toContain("a\\|b &#60;script&#62;");
});

test.each([
  ["pith quantize bert_sst2", "`pith quantize bert_sst2`"],
  ["a `<b>` c\nd", "`` a `<b>` c d ``"],
  ["``", "``` `` ```"],
])("encloses the code span of %j in more backticks than it contains", (text, span) => {
  expect(codeSpan(text)).toBe(span);
});
