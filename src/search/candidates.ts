/** Lists the candidates of a search: collects the moves that passes offer for a model, and combines them. */
import { infer } from "#analysis";
import { type Model, optionError } from "#ir";
import type { AnyPass, MovesRequest } from "#pass";
import type { ObjectiveOptions } from "../judge/measure/objective.ts";
import { searchedPasses } from "../judge/recipe/built-in-passes.ts";
import type { Recipe } from "../judge/recipe/recipe.ts";
import { searchedTechniques } from "../judge/recipe/searched-techniques.ts";
import type { Task } from "../runtime/metrics/metric.ts";
import type { TargetName } from "../runtime/run/run-target.ts";
import { type Combination, combineOffers, recipeOf } from "./combinations.ts";

export interface OffersOptions extends Pick<ObjectiveOptions, "purpose" | "targetSize" | "faster"> {
  /** Names of the passes to combine (default: all that offer moves). */
  readonly techniques?: readonly string[] | undefined;
  readonly target?: readonly TargetName[];
}

const samplesToCalibrate = 200;

export function listCombinations(
  model: Model,
  { calibrate, train }: Pick<Task, "calibrate" | "train">,
  options: OffersOptions,
): Promise<readonly Combination[]> {
  const samples = { calibrate: calibrate === undefined ? 0 : samplesToCalibrate, train: train?.count ?? 0 };
  return combineMoves(model, samples, options);
}

/** Returns the recipes of a search before its data is opened. */
export async function listRecipes(model: Model, options: OffersOptions): Promise<readonly Recipe[]> {
  const samples = { calibrate: samplesToCalibrate, train: Number.MAX_SAFE_INTEGER };
  return (await combineMoves(model.clone(), samples, options)).map(recipeOf);
}

async function combineMoves(
  model: Model,
  samples: MovesRequest["samples"],
  { techniques, target = [], purpose, targetSize, faster }: OffersOptions,
): Promise<readonly Combination[]> {
  const request = {
    model,
    inference: infer(model),
    samples,
    target,
    bytes: targetSize,
    forDownload: purpose === "download",
  };
  // The precision fallback serves an accuracy goal, which a target for size or speed replaces.
  const fallbackSetting = targetSize === undefined && faster === undefined ? {} : { fallsBack: false };
  const offers = await Promise.all(
    passesOf(techniques).map(async ({ id, moves }) =>
      ((await moves?.(request)) ?? []).map((move) => ({ ...move, ...fallbackSetting, pass: id })),
    ),
  );
  return combineOffers(offers.flat());
}

function passesOf(techniques: readonly string[] | undefined): readonly AnyPass[] {
  const unknownName = techniques?.find((name) => !searchedTechniques.includes(name));
  if (unknownName !== undefined)
    throw optionError(
      `\`techniques\`: unknown technique: expected ${searchedTechniques.join(", ")}, got "${unknownName}".`,
    );
  return searchedPasses.filter(({ id }) => techniques === undefined || techniques.includes(id));
}
