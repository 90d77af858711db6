import { expect, test } from "vitest";
import { resultSentence } from "./measurements.ts";
import { nameOf } from "./settings/presets.ts";
import { readResult } from "./share.ts";

const address =
  "#result?model=net.onnx&key=ab12&technique=download&amount=0.005&goal=0.5&kind=download&before=1000000&after=113000&changed=12&of=1000";

test("a result is read from its address, with the settings that make it again", () => {
  const result = readResult(address);
  expect(result).toMatchObject({ model: "net.onnx", key: "ab12", maxDrop: 0.5, settings: { preset: "download" } });
  expect(result && resultSentence(result)).toBe(
    "Your visitors download 1.00\u00a0MB\u00a0→\u00a0113\u00a0kB. 12 of 1,000 predictions change.",
  );
  expect(result && nameOf(result.settings)).toBe("smallest download, error 0.50\u00a0%");
});

test("the sentence of a model without classes, or of sizes on disk, has only the sizes", () => {
  const result = readResult(address.replace("kind=download", "kind=disk").replace("&changed=12&of=1000", ""));
  expect(result && resultSentence(result)).toBe("The file takes 1.00\u00a0MB\u00a0→\u00a0113\u00a0kB on disk.");
});

test.each([
  "",
  "#model",
  "#result",
  "#result?technique=static",
  "#result?technique=none&before=1&after=1",
  "#result?technique=static&before=-1&after=x",
])("the address %j names no result", (text) => {
  expect(readResult(text)).toBeUndefined();
});

test("an amount outside of the slider's range is set to its end", () => {
  const amountOf = (amount: string): number | undefined =>
    readResult(`#result?technique=channels&before=2&after=1&amount=${amount}`)?.settings.amount;
  expect(["99", "-1", "x", "0.3"].map(amountOf)).toEqual([0.7, 0.2, 0.2, 0.3]);
});

test("a link names the samples on which its result was tested, and other texts are ignored", () => {
  const samplesOf = (query: string) => readResult(`${address}${query}`);
  expect(samplesOf("&data=cifar10&samples=1000")).toMatchObject({ data: "cifar10", samples: 1000 });
  expect(samplesOf("&data=x&samples=-4")?.samples).toBeUndefined();
  expect(samplesOf("&samples=1e999")?.samples).toBeUndefined();
  expect(samplesOf("&samples=2.5")?.samples).toBeUndefined();
});
