import { expect, test } from "vitest";
import type { OptionValues } from "../../../../core/pass/pass.ts";
import { builtInPasses } from "../../../../judge/recipe/built-in-passes.ts";
import { keepingAdvice, lessLossyAdvice } from "../../../../judge/run/training-advice.ts";
import { passCommand } from "../../commands/pass.ts";
import { keysOf } from "../../flags/check-flags.ts";
import { asFlags, flagName } from "../../flags/flag-names.ts";
import { passCommands } from "../../pass-commands.ts";
import { rejectionError } from "./advice.ts";

type Arguments = Parameters<typeof rejectionError>;
const rejected: Arguments[2] = {
  because: "goal",
  text: "accuracy fell",
  fallbackText: undefined,
  blamed: undefined,
  changes: [],
  isStrictMiss: false,
  isLostByEarlierSteps: false,
  isTrainable: true,
};
const adviceFor = (
  pass: Arguments[0],
  input: Arguments[1],
  rejection: Partial<Arguments[2]> = {},
  assumesScores = false,
): string => rejectionError(pass, input, { ...rejected, ...rejection }, assumesScores).hint ?? "";

const flagsIn = (text: string): readonly string[] => text.match(/--[a-z][a-z-]*/g) ?? [];

const commands = [...builtInPasses.values()].filter(({ id }) => passCommands[id] !== undefined);

test.each(commands.map((pass) => [pass.id, pass] as const))("advises only flags that pith %s has", (_, pass) => {
  const definition = passCommand(pass);
  const keys = [definition.options, definition.passSchema ?? definition.options].flatMap((schema) => [
    ...keysOf(schema),
  ]);
  const flags = new Set(keys.map(flagName));
  const settings = [{}, { until: "end-to-end" }, { scheme: "dynamic" }, { scheme: "static" }];
  for (const data of [undefined, "data/"]) {
    for (const options of [...settings, ...(keys.includes("checkpoint") ? [{ checkpoint: "run/" }] : [])]) {
      const input = {
        model: "m.onnx",
        out: "out.onnx",
        options,
        data: data === undefined ? undefined : { path: data },
      };
      const lost = [adviceFor(pass, input), adviceFor(pass, input, { isStrictMiss: true })];
      const sentences = [keepingAdvice(pass, options), lessLossyAdvice(pass, options)];
      const texts = [...sentences, ...lost].map((text) => asFlags(text, new Set([...keys, "force"])));
      expect(texts.flatMap(flagsIn).filter((flag) => !flags.has(flag))).toEqual([]);
    }
  }
});

test("the advice names changed layers, recovery for a spread loss, and another metric", () => {
  const prune = builtInPasses.get("prune");
  if (prune === undefined) throw new Error("There is no prune.");
  const advice = (
    layers: readonly string[],
    changed: readonly string[],
    share = 0.9,
    options: OptionValues = {},
    isTrainable = true,
  ) =>
    adviceFor(
      prune,
      { model: "m.onnx", out: "thin.onnx", options, data: { path: "data/" } },
      {
        blamed: { layers, kind: "layer", operator: "Conv", share },
        isTrainable,
        changes: changed.map((at) => ({ at, what: "", decidedBy: "global" })),
      },
    );
  expect(advice(["b"], ["a", "b"], 0.9, { except: "c" })).toBe(
    "Use a smaller amount, or skip that layer (--except c,b), or allow more (--max-drop). --force writes it anyway, for instance before fine-tuning. Then pith debug shows every layer.",
  );
  expect(advice(["linear"], ["a", "b"], 0.9, { except: "linear" })).not.toContain("--except");
  const judged = (because: "goal" | "function" | "target", assumesScores: boolean) =>
    adviceFor(
      prune,
      { model: "m.onnx", out: "thin.onnx", options: {}, data: { path: "data/" } },
      { because },
      assumesScores,
    );
  expect(judged("goal", true)).toContain(
    "use --metric r-squared if the outputs are not class scores, or allow more (--max-drop)",
  );
  expect(judged("goal", false)).not.toContain("--metric");
  expect(judged("function", true)).not.toMatch(/--metric|--max-drop/);
  expect(judged("target", true)).toBe(
    "Use a smaller amount, or try another version of ONNX Runtime. --force writes it anyway.",
  );
  for (const spread of [
    advice(["a", "b"], ["a", "b"], 1, { structured: 0.3 }),
    advice(["a"], ["a", "b"], 0.1, { structured: 0.3 }),
  ])
    expect(spread).toMatch(
      /^Use a smaller amount, or allow more \(--max-drop\)\. --force writes it anyway, then pith recover thin\.onnx --original m\.onnx --data /,
    );
  expect(advice(["a", "b"], ["a", "b"], 1, { structured: 0.3 }, false)).not.toContain("recover");
});
