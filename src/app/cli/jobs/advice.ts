/** Advice for results that are worse than the original. It names only flags of the command that ran. */
import { capitalize } from "../../../core/errors.ts";
import type { AnyPass, Change, OptionValues } from "../../../core/pass/pass.ts";
import type { Lost } from "../../../judge/run/judgement.ts";
import { trains } from "../../../judge/steps/step.ts";
import { type Blame, isSpread } from "../../../runtime/noise/layer-errors.ts";
import { nextFiles } from "../files/files.ts";
import { asFlags } from "../flags/invalid-options.ts";
import { keysOf } from "../flags/options.ts";
import type { PassInput } from "./pass.ts";

interface Advised extends Pick<PassInput, "model" | "out" | "options"> {
  readonly data: { readonly path: string } | undefined;
}

/** Returns the end of a sentence: how to keep trained weights that are not written. */
export function keepingAdvice(
  { options: schema }: AnyPass,
  { options: { checkpoint } }: Pick<Advised, "options">,
): string {
  if (typeof checkpoint === "string")
    return `; ${checkpoint} keeps the trained weights. --force writes it in any case.`;
  if (!keysOf(schema).has("checkpoint")) return ". --force writes it in any case.";
  return ". To keep it in any case: --checkpoint <folder>, or --force.";
}

interface Refused {
  /** The estimate meets the goal, but --strict requires more. */
  readonly unshown?: boolean;
  readonly blamed?: Blame | undefined;
  readonly changes?: readonly Change[];
  readonly because?: Lost["because"];
  /** The reference is not the input model, and the result is no worse than the input model. */
  readonly lostBefore?: boolean;
  readonly trainable?: boolean;
  /** Classes were compared although nothing shows that the output is class scores. */
  readonly assumesScores?: boolean | undefined;
}

export function lostAdvice(
  pass: AnyPass,
  { model, out, options, data }: Advised,
  {
    unshown = false,
    blamed,
    changes = [],
    because = "goal",
    lostBefore = false,
    trainable = true,
    assumesScores = false,
  }: Refused = {},
): string {
  const { checkpoint } = options;
  const kept = typeof checkpoint === "string" ? `The trained weights are kept in ${checkpoint}. ` : "";
  const gentler = unshown ? "Evaluate it on more samples, or without --strict" : gentlerThan(pass, options, lostBefore);
  const spread = blamed !== undefined && isSpread(blamed);
  const first = spread ? undefined : changes.find(({ at }) => at === blamed?.layers[0])?.at;
  const without = first === undefined ? undefined : `skip that layer: --except ${exceptText(options, first)}`;
  const state = { trainable, holds: false };
  const next = spread ? pass.command?.next?.(options, nextFiles({ model, out }, data, state)) : undefined;
  const offers = [
    ...(gentler === undefined || (without !== undefined && gentler.includes("--except")) ? [] : [gentler]),
    ...(lostBefore ? [`start from a model that lost less than ${model}`] : []),
    ...(without === undefined ? [] : [without]),
    ...(because === "target" ? ["try another version of ONNX Runtime"] : []),
    ...(data === undefined
      ? ["measure it on your own samples (--data)"]
      : because === "goal"
        ? [
            ...(assumesScores ? ["use --metric r-squared if the outputs are not class scores"] : []),
            "allow more (--max-drop)",
          ]
        : []),
  ];
  const later = trains(pass) || next !== undefined || because === "target" ? "" : " (before fine-tuning, for instance)";
  const shown = blamed === undefined ? "" : "; then pith debug shows every layer";
  const then = next === undefined ? `${shown}.` : `, then pith ${next.replace(/ +#.*$/, "")}`;
  const anyway = `${offers.length === 0 ? "" : "or "}write it anyway: --force`;
  return `${kept}${capitalize([...offers, anyway].join(", "))}${later}${then}`;
}

function exceptText({ except }: OptionValues, layer: string): string {
  const text = [...(Array.isArray(except) ? except : except === undefined ? [] : [except]), layer].join(",");
  return /^[\w./:,-]+$/.test(text) ? text : `'${text}'`;
}

/** For passes that train, a sentence about a milder setting; "" for others, which are expected to lose a little. */
export function gentlerAdvice(pass: AnyPass, { options }: Pick<Advised, "options">): string {
  const gentler = trains(pass) ? gentlerThan(pass, options) : undefined;
  return gentler === undefined ? "" : ` ${gentler}.`;
}

/** A sentence about what may be faster; "" if the pass knows nothing. */
export function fasterAdvice({ faster, options: schema }: AnyPass, options: OptionValues): string {
  const advice = faster?.(options);
  return advice === undefined ? "" : `. ${asFlags(advice, keysOf(schema))}.`;
}

function gentlerThan(
  { gentler, options: schema }: AnyPass,
  options: OptionValues,
  lostBefore = false,
): string | undefined {
  return gentler === undefined ? undefined : asFlags(gentler(options, lostBefore), keysOf(schema));
}
