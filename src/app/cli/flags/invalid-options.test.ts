import * as v from "valibot";
import { expect, test } from "vitest";
import { PithError } from "../../../core/errors.ts";
import { parsableBy } from "../../../core/pass/options.ts";
import { flagName, rewordForCommand } from "./invalid-options.ts";
import { checkFlags } from "./options.ts";

test("flagName returns an option name in kebab case with two dashes", () => {
  expect(["maxDrop", "out", "keepOutput"].map(flagName)).toEqual(["--max-drop", "--out", "--keep-output"]);
});

test("ownAdvice replaces option names in backquotes by flags, and keeps other words", () => {
  const cause = new Error("because");
  const error = new PithError("E_OPTION", "With `learningRate` and `seed`, not `rate` or resume.", {
    hint: "`resume` continues, `perChannel: false` is coarser, and so is `amount: 0.8`.",
    cause,
  });
  expect(
    rewordForCommand(error, new Set(["--learning-rate", "--resume", "--no-per-channel", "--seed", "--amount"])),
  ).toMatchObject({
    code: "E_OPTION",
    message: "With --learning-rate and --seed, not `rate` or resume.",
    hint: "--resume continues, --no-per-channel is coarser, and so is --amount 0.8.",
    cause,
  });
  expect(rewordForCommand(new PithError("E_DATA", "None."), new Set()).hint).toBeUndefined();
});

test("fitting keeps a parser's message and hint, and names flags in checks of several options", () => {
  const read = (text: string): void => {
    throw new PithError("E_OPTION", `"${text}" is no loss.`, { at: "loss", hint: "Take another loss." });
  };
  const schema = v.pipe(
    v.object({ loss: v.optional(v.pipe(v.string(), parsableBy(read))), every: v.optional(v.number()) }),
    v.check(({ every }) => every === undefined, "every needs loss"),
  );
  const asked = (given: unknown) => () => checkFlags(schema, given, "See --help.");
  expect(asked({ loss: "every" })).toThrow(
    expect.objectContaining({ message: '--loss: "every" is no loss.', hint: "Take another loss." }),
  );
  expect(asked({ every: 1 })).toThrow(
    expect.objectContaining({ message: "--every needs --loss.", hint: "See --help." }),
  );
});
