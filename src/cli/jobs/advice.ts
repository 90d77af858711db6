/** Advice where a result is worse than the original. It names only flags of the command that ran. */
import { capitalized } from "../../errors.ts";
import { type Blame, isSpread } from "../../evaluate/index.ts";
import type { AnyPass, Change, OptionValues } from "../../passes/index.ts";
import type { Lost } from "../../recipe/judgement.ts";
import { trains } from "../../run/step.ts";
import { nextFiles } from "../files.ts";
import { asFlags } from "../invalid-options.ts";
import { keysOf } from "../options.ts";
import type { PassInput } from "./pass.ts";

interface Advised extends Pick<PassInput, "model" | "out" | "options"> {
  readonly data: { readonly path: string } | undefined;
}

/** How to keep trained weights that are not written: the end of a sentence. */
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
  /** The estimate keeps the goal, and --strict demands more. */
  readonly unshown?: boolean;
  readonly blamed?: Blame | undefined;
  readonly changes?: readonly Change[];
  readonly because?: Lost["because"];
  /** The goal is about another model than the one that came in, and the result is no worse than this one. */
  readonly lostBefore?: boolean;
  /** Whether the result has weights in floats, which can be trained. */
  readonly trainable?: boolean;
  /** Classes were compared, and nothing says that the output scores any. */
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
  // What trains what is left makes up for a loss of all layers together.
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
            ...(assumesScores ? ["judge numbers that score no classes by --metric r-squared"] : []),
            "allow more (--max-drop)",
          ]
        : []),
  ];
  const later = trains(pass) || next !== undefined || because === "target" ? "" : " (before fine-tuning, for instance)";
  const shown = blamed === undefined ? "" : "; then pith debug shows every layer";
  const then = next === undefined ? `${shown}.` : `, then pith ${next.replace(/ +#.*$/, "")}`;
  const anyway = `${offers.length === 0 ? "" : "or "}write it anyway: --force`;
  return `${kept}${capitalized([...offers, anyway].join(", "))}${later}${then}`;
}

/** The value of --except with one more layer, quoted for a shell. */
function exceptText({ except }: OptionValues, layer: string): string {
  const text = [...(Array.isArray(except) ? except : except === undefined ? [] : [except]), layer].join(",");
  return /^[\w./:,-]+$/.test(text) ? text : `'${text}'`;
}

/** For passes that train, a sentence about what would lose less; "" for others, of which a small loss is expected. */
export function gentlerAdvice(pass: AnyPass, { options }: Pick<Advised, "options">): string {
  const gentler = trains(pass) ? gentlerThan(pass, options) : undefined;
  return gentler === undefined ? "" : ` ${gentler}.`;
}

function gentlerThan(
  { gentler, options: schema }: AnyPass,
  options: OptionValues,
  lostBefore = false,
): string | undefined {
  return gentler === undefined ? undefined : asFlags(gentler(options, lostBefore), keysOf(schema));
}
