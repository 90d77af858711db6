/**
 * Losses as text, for the command line and recipes: a sum of names with their settings,
 *
 *     cross-entropy(smoothing=0.1) + 0.5 * mse(output=boxes, label=box)
 */
import * as v from "valibot";
import { PithError } from "../../errors.ts";
import type { Loss } from "../loss.ts";
import { binaryCrossEntropy } from "./binary.ts";
import { crossEntropy } from "./cross-entropy.ts";
import { divergence } from "./divergence.ts";
import { huber, meanAbsoluteError, meanSquaredError } from "./regression.ts";
import { sumOfLosses, type WeightedLoss } from "./sum-of-losses.ts";
import { cosineDistance, infoNce } from "./vectors.ts";

const about = { output: v.optional(v.string()), label: v.optional(v.string()) };
const number = v.optional(v.pipe(v.string(), v.toNumber()));

/** A loss that text can name: its settings, read from text. */
function named<const Entries extends v.ObjectEntries>(
  entries: Entries,
  make: (options: v.InferOutput<v.StrictObjectSchema<Entries, undefined>>) => Loss,
) {
  const schema = v.strictObject(entries);
  return { settings: Object.keys(entries), make: (given: unknown): Loss => make(v.parse(schema, given)) };
}

const losses: Readonly<Record<string, { readonly settings: readonly string[]; make(given: unknown): Loss }>> = {
  "cross-entropy": named(
    { ...about, smoothing: number, from: v.optional(v.picklist(["logits", "probabilities", "log-probabilities"])) },
    crossEntropy,
  ),
  binary: named(about, binaryCrossEntropy),
  mse: named(about, meanSquaredError),
  mae: named(about, meanAbsoluteError),
  huber: named({ ...about, delta: number }, huber),
  kl: named(about, divergence),
  cosine: named(about, cosineDistance),
  "info-nce": named({ ...about, temperature: number }, infoNce),
};

/** Names of the losses that text can say. */
export const lossNames: readonly string[] = Object.keys(losses);

const term = /^(?:(?<weight>[\d.e-]+)\s*\*\s*)?(?<name>[a-z][a-z-]*)\s*(?:\((?<settings>[^()]*)\))?$/;

/**
 * The loss that a text says.
 * @throws PithError E_OPTION for what is no loss, with the names that are.
 * @example
 * const loss = parseLoss("cross-entropy(smoothing=0.1) + 0.5 * mse(output=boxes, label=box)");
 */
export function parseLoss(text: string): Loss {
  const parts = text.split(/\s*\+\s*(?![^(]*\))/).map((part) => parseTerm(part.trim()));
  const [only] = parts;
  return parts.length === 1 && only?.weight === undefined && only !== undefined ? only.loss : sumOfLosses(parts);
}

function parseTerm(text: string): WeightedLoss {
  const { weight, name = "", settings = "" } = term.exec(text)?.groups ?? {};
  const found = Object.hasOwn(losses, name) ? losses[name] : undefined;
  if (found === undefined) {
    throw new PithError("E_OPTION", `"${text}" is no loss: there are ${lossNames.join(", ")}.`, {
      hint: 'Several are added up, with weights and settings: "cross-entropy(smoothing=0.1) + 0.5 * mse(output=boxes, label=box)".',
    });
  }
  const given = Object.fromEntries(
    settings
      .split(",")
      .map((setting) => setting.trim())
      .filter((setting) => setting !== "")
      .map((setting) => {
        const [key = "", ...value] = setting.split("=");
        return [key.trim(), value.join("=").trim()];
      }),
  );
  const unknown = Object.keys(given).find((key) => !found.settings.includes(key));
  if (unknown !== undefined)
    throw new PithError(
      "E_OPTION",
      `The loss ${name} has no setting "${unknown}": it has ${found.settings.join(", ")}.`,
    );
  const factor = weight === undefined ? undefined : Number(weight);
  if (factor !== undefined && !Number.isFinite(factor))
    throw new PithError("E_OPTION", `The weight of "${text}" is no number.`);
  try {
    return { loss: found.make(given), ...(factor === undefined ? {} : { weight: factor }) };
  } catch (error) {
    if (!(error instanceof v.ValiError)) throw error;
    const [issue] = error.issues;
    throw new PithError("E_OPTION", `The loss "${text}": ${issue?.path?.[0]?.key ?? ""} ${issue?.message ?? ""}.`);
  }
}
