/** A step that records its runs, and candidates of such steps. */
import * as v from "valibot";
import { beforeEach } from "vitest";
import { definePass } from "../../src/core/pass/pass.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { prune } from "../../src/techniques/prune/index.ts";
import { temporaryFolder } from "../temporary.ts";
import { trained } from "./blobs.ts";

export const net = await trained();
/** A new folder for each test. */
export let folder = "";
/** Amounts of the steps, in the order in which they ran. */
export let ran: number[] = [];

/** Begins each test of a file with an empty folder and without runs. */
export function countSteps(): void {
  beforeEach(() => {
    folder = temporaryFolder();
    ran = [];
  });
}

export const cut = definePass({
  id: "cut",
  summary: "prune, and count that",
  options: v.object({ amount: v.number(), after: v.optional(v.function()) }),
  async run(model, { amount }, context) {
    ran.push(amount);
    return prune(model, { amount }, context);
  },
});

export const candidate = (...amounts: readonly number[]) => ({
  name: amounts.join(" + "),
  recipe: recipeFrom({ steps: amounts.map((amount) => ({ cut: { amount } })) }, "recipe", [cut]),
});

export const options = { passes: [cut], rounds: 0, force: true };
