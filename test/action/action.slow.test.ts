/** The action with other outcomes of the check, and for a push. */
import { describe, expect, test } from "vitest";
import { runAction } from "./run-action.ts";

describe("the action", () => {
  test("fails a change that misses a budget, and still comments", async () => {
    const { code, summary, outputs, calls } = await runAction("[[0, 0], [0, 0]]");
    expect(summary).toContain("❌ failed");
    expect(outputs).toBe("outcome=failed\n");
    expect(calls).toContain("POST");
    expect(code).toBe(1);
  });

  test.each([
    ["warn", 0],
    ["fail", 1],
  ])("with undecided: %s, the exit code of an undecided check is %i", async (choice, expected) => {
    const { code, output, outputs } = await runAction("[[1, 0.002], [0.002, 1]]", {
      undecided: choice,
      file: "few.yaml",
    });
    expect(outputs).toBe("outcome=undecided\n");
    expect(output.includes("::warning::")).toBe(choice === "warn");
    expect(code === 0 ? 0 : 1).toBe(expected);
  });

  test("says in the summary that budgets with an error were not checked", async () => {
    const { code, summary, outputs, calls } = await runAction("[[1, 0], [0, 1]]", { file: "missing.yaml" });
    expect(summary).toContain("❌ ended with exit code");
    expect(outputs).toBe("outcome=failed\n");
    expect(calls).toContain("POST");
    expect(code).not.toBe(0);
  });

  test.each([
    ["gh: Resource not accessible by integration (HTTP 403)", "the token may not write comments"],
    [
      "gh: 100% wrong\n::error::Validation Failed (HTTP 422)",
      "gh: 100%25 wrong%0A::error::Validation Failed (HTTP 422)",
    ],
  ])("says why a comment was not written: %j", async (failure, reason) => {
    const gh = `#!/bin/sh\ncase "$*" in *--paginate*) exit 0 ;; esac\necho '${failure}' >&2\nexit 1\n`;
    const { code, output } = await runAction("[[1, 0.002], [0.002, 1]]", {}, "pull_request", gh);
    expect(output).toContain(`because the comment was not written: ${reason}\n`);
    expect(output).not.toMatch(/^::error/m);
    expect(code).toBe(0);
  });

  test("neither compares nor comments for a push", async () => {
    const { code, summary, calls } = await runAction("[[1, 0.002], [0.002, 1]]", {}, "push");
    expect(summary).not.toContain("changed:");
    expect(calls).toBe("");
    expect(code).toBe(0);
  });
});
