import { expect, test } from "vitest";
import { withCard } from "./model-card.ts";

const evil = "<img src=x onerror=alert(1)>\n# x|y `z`";

test("escapes names of files and folders in README.md so that they are not markup", () => {
  const file = `onnx/${evil}_quantized.onnx`;
  const figures = { dtype: "q8" as const, source: evil, source_hash: "", made_from: "", bytes: 10, measured: evil };
  const speeds = [{ target: "wasm", where: evil, factor: 2, low: 2, high: 2, milliseconds: 1 }];
  const records = { [file]: { ...figures, speeds }, other: { ...figures, dtype: "q4" as const, speeds } };
  const text = withCard("", {
    name: evil,
    config: { architectures: [`${evil}ForCausalLM`] },
    originals: new Map([[`onnx/${evil}.onnx`, 20]]),
    records,
    defaultDtype: "q8",
    madeWith: `pith quantize ${evil}`,
    failureText: undefined,
    triedDtypes: undefined,
    purpose: undefined,
  });
  // Removes code blocks and code spans, which show names verbatim.
  const prose = text.replace(/^```js$.*?^```$/gms, "").replace(/`` .*? ``/g, "");
  expect(prose).not.toContain("<img");
  expect(text.match(/^# .*$/gm)).toEqual(["# &#60;img src=x onerror=alert(1)&#62; \\# x\\|y \\`z\\`"]);
  const table = text.split("\n").filter((line) => line.startsWith("|"));
  expect(table).toHaveLength(2 + 3);
  expect(new Set(table.map((line) => line.match(/(?<!\\)\|/g)?.length)).size).toBe(1);
});

const figures = { source: "", source_hash: "", made_from: "", measured: "" };
const card = (q8: number, architecture = "") =>
  withCard("", {
    name: "net",
    config: { architectures: [architecture] },
    originals: new Map([["onnx/model.onnx", 20]]),
    records: {
      "onnx/model_quantized.onnx": { ...figures, dtype: "q8" as const, bytes: q8 },
      "onnx/model_q4.onnx": { ...figures, dtype: "q4" as const, bytes: 10 },
    },
    defaultDtype: "q8",
    madeWith: undefined,
    failureText: undefined,
    triedDtypes: undefined,
    purpose: undefined,
  });

test("imports each name of transformers.js that a program uses, once", () => {
  const programs = [...card(15).matchAll(/^```js$(.*?)^```$/gms)].map(([, program = ""]) => program);
  const namesIn = (text: string): readonly string[] => [...(text.match(/\b(env|pipeline)\b/g) ?? [])].sort();
  expect(programs).toHaveLength(2);
  for (const program of programs) {
    const [, importedNames = "", body = ""] =
      /^\s*import \{(.*?)\} from "@huggingface\/transformers";(.*)$/s.exec(program) ?? [];
    expect(namesIn(importedNames)).toEqual([...new Set(namesIn(body))]);
  }
});

test("warns authors of pages that weights in few bits generate slowly in WebAssembly", () => {
  expect(card(15, "LlamaForCausalLM")).toContain("- WebAssembly converts weights below 8 bits to floats in each run");
  expect(card(15, "BertForMaskedLM")).not.toContain("converts weights");
});

test("names the programs' dtype and the smallest download in one sentence", () => {
  expect(card(15)).toContain(
    "- Node and WebAssembly: the programs load `q8`, the first requested dtype; `q4` is the smallest download.\n",
  );
  expect(card(5)).toContain("the programs load `q8`, the first requested dtype; `q8` is the smallest download.\n");
});
