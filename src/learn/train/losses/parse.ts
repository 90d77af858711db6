/** Parses losses from text: a weighted sum of names with settings, cross-entropy(smoothing=0.1) + 0.5 * mse(output=boxes, label=box). */
import * as v from "valibot";
import { nearest, optionError, type PithError } from "#ir";
import { checkWith } from "#pass";
import type { BuiltLoss, Loss } from "../loss.ts";
import { binaryCrossEntropy, crossEntropy } from "./cross-entropy.ts";
import { cosineDistance, huber, meanAbsoluteError, meanSquaredError } from "./numbers.ts";

const commonSettings = { output: v.optional(v.string()), label: v.optional(v.string()) };
export const numberSetting = v.optional(v.pipe(v.string(), v.toNumber()));

/** A loss that text can name. `Extra` are arguments of `make` in addition to the settings, such as teachers. */
export interface DeclaredLoss<Extra extends readonly unknown[] = []> {
  readonly name: string;
  /** Description for the help. For losses with a teacher, it has at most 52 characters, so that the line fits. */
  readonly meaning: string;
  /** The weight if the text gives none (1). */
  readonly weight?: number | undefined;
  readonly settings: readonly string[];
  /** @throws ValiError if the settings, as text, are invalid. */
  make(settings: unknown, ...extra: Extra): Loss;
}

interface LossDefinition<Entries extends v.ObjectEntries, Extra extends readonly unknown[]>
  extends Pick<DeclaredLoss, "name" | "meaning" | "weight"> {
  readonly settings: Entries;
  make(settings: v.InferOutput<v.StrictObjectSchema<Entries, undefined>>, ...extra: Extra): Loss;
}

export function declareLoss<const Entries extends v.ObjectEntries, Extra extends readonly unknown[] = []>(
  definition: LossDefinition<Entries, Extra>,
): DeclaredLoss<Extra> {
  const schema = v.strictObject(definition.settings);
  return {
    ...definition,
    settings: Object.keys(definition.settings),
    make: (settings, ...extra) => definition.make(v.parse(schema, settings), ...extra),
  };
}

export const losses: readonly DeclaredLoss[] = [
  declareLoss({
    name: "cross-entropy",
    meaning:
      "class labels, or a probability for each class; smoothing=0.1 is label smoothing; from=logits, probabilities or log-probabilities if the graph does not show which",
    settings: {
      ...commonSettings,
      smoothing: numberSetting,
      from: v.optional(v.picklist(["logits", "probabilities", "log-probabilities"])),
    },
    make: crossEntropy,
  }),
  declareLoss({
    name: "binary",
    meaning: "binary labels, one for each logit",
    settings: commonSettings,
    make: binaryCrossEntropy,
  }),
  declareLoss({ name: "mse", meaning: "numbers, squared error", settings: commonSettings, make: meanSquaredError }),
  declareLoss({ name: "mae", meaning: "numbers, absolute error", settings: commonSettings, make: meanAbsoluteError }),
  declareLoss({
    name: "huber",
    meaning: "numbers, squared error up to delta=1, absolute error beyond",
    settings: { ...commonSettings, delta: numberSetting },
    make: huber,
  }),
  declareLoss({ name: "cosine", meaning: "vectors, cosine distance", settings: commonSettings, make: cosineDistance }),
];

export const lossNames: readonly string[] = losses.map(({ name }) => name);

const termPattern = /^(?:(?<weight>[\d.e-]+)\s*\*\s*)?(?<name>[a-z][a-z0-9-]*)\s*(?:\((?<settings>[^()]*)\))?$/;

/** Parses a loss. @throws PithError E_OPTION for an unknown loss, or for settings or a weight that are invalid. */
export function parseLoss(text: string): Loss {
  return parseLossOf(losses, text);
}

export function parseLossOf<Extra extends readonly unknown[]>(
  declared: readonly DeclaredLoss<Extra>[],
  text: string,
  ...extra: Extra
): Loss {
  const terms = text.split(/\s*\+\s*(?![^(]*\))/).map((part) => parseTerm(declared, part.trim(), extra));
  const [first, ...rest] = terms;
  return first !== undefined && rest.length === 0 && first.weight === undefined ? first.loss : sumOfLosses(terms);
}

/** Returns the model outputs that a text of losses names, so that they can be checked before anything runs. */
export function outputNames(text: string): readonly string[] {
  return [...text.matchAll(/[(,]\s*output\s*=([^,()]*)/g)].map(([, name = ""]) => name.trim());
}

function parseTerm<Extra extends readonly unknown[]>(
  declared: readonly DeclaredLoss<Extra>[],
  text: string,
  extra: Extra,
): WeightedLoss {
  const { weight, name = "", settings = "" } = termPattern.exec(text)?.groups ?? {};
  const definition = declared.find((loss) => loss.name === name);
  if (definition === undefined) throw unknownLoss(text, name, declared);
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

function unknownLoss(text: string, name: string, declared: readonly Pick<DeclaredLoss, "name">[]): PithError {
  const all = declared.map((loss) => loss.name);
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

export interface WeightedLoss {
  readonly loss: Loss;
  /** Default 1. */
  readonly weight?: number | undefined;
}

/** Returns Σ weight · loss. @throws PithError E_OPTION if the list is empty. */
export function sumOfLosses(losses: readonly WeightedLoss[]): Loss {
  if (losses.length === 0) throw optionError("The loss is empty: expected at least one term.");
  return {
    name: losses.map(({ loss, weight = 1 }) => (weight === 1 ? loss.name : `${weight} * ${loss.name}`)).join(" + "),
    async build(scope) {
      const { emit } = scope;
      const parts: BuiltLoss[] = [];
      for (const { loss, weight = 1 } of losses) {
        const built = await loss.build(scope);
        parts.push({ ...built, value: weight === 1 ? built.value : emit.Mul([built.value, weight]) });
      }
      return {
        value: parts.map(({ value }) => value).reduce((total, value) => emit.Add([total, value])),
        feeds: (batch) => Object.assign({}, ...parts.map((part) => part.feeds(batch))),
      };
    },
  };
}
