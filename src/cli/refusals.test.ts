import { expect, test } from "vitest";
import { PithError } from "../errors.ts";
import { flagName, inFlags } from "./refusals.ts";

test("an option's flag is its name in lower case, with dashes", () => {
  expect(["maxDrop", "out", "keepOutput"].map(flagName)).toEqual(["--max-drop", "--out", "--keep-output"]);
});

test("what stands between backquotes and is an option is its flag; other words are as they were", () => {
  const cause = new Error("because");
  const error = new PithError("E_OPTION", "With `learningRate` and `seed`, not `rate` or resume.", {
    hint: "`resume` continues.",
    cause,
  });
  expect(inFlags(error, new Set(["learningRate", "resume"]))).toMatchObject({
    code: "E_OPTION",
    message: "With --learning-rate and --seed, not `rate` or resume.",
    hint: "--resume continues.",
    cause,
  });
  expect(inFlags(new PithError("E_DATA", "None."), new Set()).hint).toBeUndefined();
});
