/** What the passes that a search combines offer for a model. */
import { infer } from "../analysis/infer.ts";
import { PithError } from "../errors.ts";
import type { Task } from "../evaluate/index.ts";
import type { TargetName } from "../evaluate/run-target.ts";
import type { Model } from "../graph/model.ts";
import type { MovesRequest } from "../passes/moves.ts";
import type { AnyPass } from "../passes/pass.ts";
import type { ObjectiveOptions } from "../recipe/objective.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { searchedPasses } from "../recipe/steps.ts";
import { type Combination, combinationsOf, recipeOf } from "./combinations.ts";

export interface OffersOptions extends Pick<ObjectiveOptions, "targetSize" | "faster"> {
  /** Passes whose moves are combined, by their names (all that offer some). */
  readonly techniques?: readonly string[] | undefined;
  readonly target?: readonly TargetName[];
}

/** About as many as passes look at unless said. */
const samplesToCalibrate = 200;

/** All combinations for a model, with the samples of a task. @throws PithError E_OPTION for a technique that there is not. */
export function combinationsFor(
  model: Model,
  { calibrate, train, metric }: Pick<Task, "calibrate" | "train" | "metric">,
  options: OffersOptions,
): readonly Combination[] {
  const samples = { calibrate: calibrate === undefined ? 0 : samplesToCalibrate, train: train?.count ?? 0 };
  return combined(model, { samples, hasLabels: metric.truth !== "original" }, options);
}

/** The same as if there were samples to calibrate and to train on: what the task has to be opened for. */
export function recipesFor(model: Model, options: OffersOptions): readonly Recipe[] {
  const samples = { calibrate: samplesToCalibrate, train: Number.POSITIVE_INFINITY };
  return combined(model.clone(), { samples, hasLabels: true }, options).map(recipeOf);
}

function combined(
  model: Model,
  known: Pick<MovesRequest, "samples" | "hasLabels">,
  { techniques, target = [], targetSize, faster }: OffersOptions,
): readonly Combination[] {
  const request = { model, inference: infer(model), ...known, target, bytes: targetSize };
  // Milder forms are larger and slower: they hold a goal of accuracy, and there is none.
  const more = targetSize === undefined && faster === undefined ? {} : { spares: false };
  const offers = passesOf(techniques).flatMap(({ id, moves }) =>
    (moves?.(request) ?? []).map((move) => ({ ...move, ...more, pass: id })),
  );
  return combinationsOf(offers);
}

/** @throws PithError E_OPTION for a name of which no pass offers moves. */
function passesOf(techniques: readonly string[] | undefined): readonly AnyPass[] {
  const unknown = techniques?.find((name) => !searchedPasses.some(({ id }) => id === name));
  if (unknown !== undefined)
    throw new PithError("E_OPTION", `\`techniques\`: "${unknown}" is none that a search combines.`, {
      hint: `There are ${searchedPasses.map(({ id }) => id).join(", ")}.`,
    });
  return searchedPasses.filter(({ id }) => techniques === undefined || techniques.includes(id));
}
