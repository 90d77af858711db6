import { expect, test } from "vitest";
import { PithError } from "#ir";
import type { Result } from "../command.ts";
import { markdownOf } from "./printed-result.ts";
import { recordResult, replay } from "./recording.ts";
import { Terminal } from "./terminal.ts";

const failure = new PithError("E_ACCURACY_LOST", "The result lost 5 points.", { hint: "Use fewer bits." });

const result: Result = {
  json: { worst: Number.NEGATIVE_INFINITY },
  isGoalMissed: true,
  failure,
  outcome: ({ red }) => red("failed"),
  print(page) {
    const { bold, dim, green } = page.color;
    page.line(`${bold(`model ${dim("of 3 MB")}`)} and ${bold("another")}`);
    page.table([{ title: "layer" }, { title: "bits", align: "right" }], [[bold("conv1"), green("8")]], "  ");
    page.line();
  },
};

/** Returns a result after a transfer between processes. */
const sent = ({ json, ...rest }: Result): Result => replay(structuredClone(recordResult({ json, ...rest })));

function printed({ print }: Result, color: string): string {
  let text = "";
  const stream = { write: (more: string) => (text += more) };
  const terminal = new Terminal({ out: stream, err: stream, json: false, env: { FORCE_COLOR: color }, versions: "" });
  print(terminal);
  return text;
}

test.each(["0", "1"])("a recorded result prints the same lines, tables and styles (FORCE_COLOR=%s)", (color) => {
  expect(printed(sent(result), color)).toBe(printed(result, color));
});

test("a recorded result has the same Markdown", () => {
  const markdown = markdownOf("eval", [], sent(result));
  expect(markdown.split("\n")[0]).toContain("❌ failed");
  expect(markdown).toBe(markdownOf("eval", [], result));
});

test("a recorded result has the same data, verdict and failure", () => {
  const { json, isGoalMissed, failure: error } = sent(result);
  expect({ json, isGoalMissed }).toEqual({ json: result.json, isGoalMissed: true });
  expect(error).toMatchObject({ code: failure.code, message: failure.message, hint: failure.hint });
});
