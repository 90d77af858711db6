/** Parses losses from text: a weighted sum of names with settings, cross-entropy(smoothing=0.1) + 0.5 * mse(output=boxes, label=box). */
import * as v from "valibot";
import { nearest, optionError, type PithError } from "#ir";
import { checkWith } from "#pass";
import type { Loss } from "../loss.ts";
import { type DeclaredLoss, losses } from "./declared-losses.ts";
import { sumOfLosses, type WeightedLoss } from "./weighted-sum.ts";

const termPattern = /^(?:(?<weight>[\d.e-]+)\s*\*\s*)?(?<name>[a-z][a-z0-9-]*)\s*(?:\((?<settings>[^()]*)\))?$/;

/** Parses a loss. @throws PithError E_OPTION for an unknown loss, or for settings or a weight that are invalid. */
export function parseLoss(text: string): Loss {
  return parseLossOf(losses, text);
}

export function parseLossOf<Extra extends readonly unknown[]>(
  definitions: readonly DeclaredLoss<Extra>[],
  text: string,
  ...extra: Extra
): Loss {
  const terms = text.split(/\s*\+\s*(?![^(]*\))/).map((part) => parseTerm(definitions, part.trim(), extra));
  const [first, ...rest] = terms;
  return first !== undefined && rest.length === 0 && first.weight === undefined ? first.loss : sumOfLosses(terms);
}

/** Returns the model outputs that a text of losses names, so that they can be checked before anything runs. */
export function outputNames(text: string): readonly string[] {
  return [...text.matchAll(/[(,]\s*output\s*=([^,()]*)/g)].map(([, name = ""]) => name.trim());
}

function parseTerm<Extra extends readonly unknown[]>(
  definitions: readonly DeclaredLoss<Extra>[],
  text: string,
  extra: Extra,
): WeightedLoss {
  const { weight, name = "", settings = "" } = termPattern.exec(text)?.groups ?? {};
  const definition = definitions.find((loss) => loss.name === name);
  if (definition === undefined) throw unknownLoss(text, name, definitions);
  const pairs = settings.split(",").flatMap((setting) => {
    const [key = "", ...value] = setting.split("=");
    return setting.trim() === "" ? [] : [[key.trim(), value.join("=").trim()] as const];
  });
  const unknownSetting = pairs.find(([key]) => !definition.settings.includes(key))?.[0];
  if (unknownSetting !== undefined) {
    const message = `The loss ${name} has no setting "${unknownSetting}": it has ${definition.settings.join(", ")}.`;
    throw optionError(message);
  }
  const factor = weight === undefined ? definition.weight : Number(weight);
  if (factor !== undefined && !Number.isFinite(factor)) throw optionError(`The weight of "${text}" is not a number.`);
  try {
    return { loss: definition.make(Object.fromEntries(pairs), ...extra), weight: factor };
  } catch (error) {
    if (!(error instanceof v.ValiError)) throw error;
    const [issue] = error.issues;
    throw optionError(`The loss "${text}": ${issue?.path?.[0]?.key ?? ""} ${issue?.message ?? ""}.`);
  }
}

function unknownLoss(text: string, name: string, definitions: readonly Pick<DeclaredLoss, "name">[]): PithError {
  const all = definitions.map((loss) => loss.name);
  const similar = nearest(name, all);
  let problem = `"${name === "" ? text : name}" is not a loss`;
  if (text === "") problem = "A loss is missing beside a +";
  else if (/\([^)]*$/.test(text)) problem = `"${text}" lacks a closing bracket`;
  else if (similar === undefined) problem += `; the losses are ${all.join(", ")}`;
  let hint =
    'Losses can be added with weights and settings: "cross-entropy(smoothing=0.1) + 0.5 * mse(output=boxes, label=box)".';
  if (similar !== undefined) hint = `Did you mean ${similar}?`;
  return optionError(`${problem}.`, { hint });
}

const isLoss = (value: unknown): boolean => typeof value === "object" && value !== null && "build" in value;

export const lossOption = v.union([v.pipe(v.string(), checkWith(parseLoss)), v.custom<Loss>(isLoss, "must be a loss")]);
