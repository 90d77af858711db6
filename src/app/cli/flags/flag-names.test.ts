import * as v from "valibot";
import { expect, test } from "vitest";
import { PithError } from "../../../core/errors.ts";
import { checkWith } from "../../../core/pass/options.ts";
import { checkFlags } from "./check-flags.ts";
import { flagName, isPossibleAdvice, withFlagNames } from "./flag-names.ts";

test("flagName returns an option name in kebab case with two dashes", () => {
  expect(["maxDrop", "out", "keepOutput"].map(flagName)).toEqual(["--max-drop", "--out", "--keep-output"]);
});

test("withFlagNames replaces option names in backquotes by flags, in texts and in data, and keeps other words", () => {
  const flags = ["--learning-rate", "--resume", "--no-per-channel", "--seed", "--amount"];
  expect(withFlagNames("With `learningRate` and `seed`, not `rate` or resume.", flags)).toBe(
    "With --learning-rate and --seed, not `rate` or resume.",
  );
  expect(withFlagNames("Give `data`, or set `seed`.", flags)).toBe("Give `data`, or set --seed.");
  expect(withFlagNames("`overrides`: no layer", ["--override"])).toBe("--override: no layer");
  expect(withFlagNames('Run `simplify`, `simplify finalize` or `simplify set: "rate=1"`.', [])).toBe(
    "Run `pith simplify`, `pith simplify --finalize` or `pith simplify --set rate=1`.",
  );
  expect(
    withFlagNames('`simplify set: "$(reboot)=1"`, `modules: "a;reboot.mjs"`, `set: "x=1 y=2"`', ["--modules", "--set"]),
  ).toBe("`pith simplify --set '$(reboot)=1'`, --modules 'a;reboot.mjs', --set \"x=1 y=2\"");
  const data = { misses: [{ reason: "`perChannel: false` is coarser, and so is `amount: 0.8`", count: 2 }] };
  expect(withFlagNames(data, flags)).toEqual({
    misses: [{ reason: "--no-per-channel is coarser, and so is --amount 0.8", count: 2 }],
  });
});

test("isPossibleAdvice rejects advice with an option that the command lacks and others have", () => {
  expect(isPossibleAdvice("Give `data`, or set `learningRate`.", ["--learning-rate"], ["data"])).toBe(false);
  expect(isPossibleAdvice("Give `data`, or set `learningRate`.", ["--data"], ["data"])).toBe(true);
  expect(isPossibleAdvice("--force writes it; judge it then (pith eval --original).", [], ["force"])).toBe(true);
});

test("fitting keeps a parser's message and hint, and the names of options in checks of several", () => {
  const read = (text: string): void => {
    throw new PithError("E_OPTION", `"${text}" is no loss.`, { at: "loss", hint: "Take another loss." });
  };
  const schema = v.pipe(
    v.object({ loss: v.optional(v.pipe(v.string(), checkWith(read))), every: v.optional(v.number()) }),
    v.check(({ every }) => every === undefined, "`every` needs `loss`"),
  );
  const asked = (given: unknown) => () => checkFlags(schema, given, "See --help.");
  expect(asked({ loss: "every" })).toThrow(
    expect.objectContaining({ message: '--loss: "every" is no loss.', hint: "Take another loss." }),
  );
  expect(asked({ every: 1 })).toThrow(
    expect.objectContaining({ message: "`every` needs `loss`.", hint: "See --help." }),
  );
});
