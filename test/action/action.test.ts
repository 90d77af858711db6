/** Runs the steps of action.yml as GitHub's runner does, in a repository that has a branch with a change. */
import { describe, expect, test } from "vitest";
import { runAction } from "./run-action.ts";

describe("the action", () => {
  test("passes a change within the budgets, compares it with the base branch, and comments", async () => {
    const { code, output, summary, outputs, calls } = await runAction("[[1, 0.002], [0.002, 1]]");
    expect(output).toContain("passed");
    expect(summary).toMatch(/^### pith check: ✅ passed\n/);
    expect(summary).toMatch(/changed: \d+ bytes → \d+ bytes/);
    expect(outputs).toBe("outcome=passed\n");
    expect(calls).toMatch(
      /api --silent --method POST repos\/a\/b\/issues\/7\/comments --field body=@.*pith-comment\.md/,
    );
    expect(code).toBe(0);
  });
});
