/** Advice where a result is worse than the original. It names only flags of the command that ran. */
import { type StepKind, trains } from "../../recipe/steps.ts";
import { keysOf } from "../options.ts";
import { passCommandNamed } from "../passes.ts";

export interface Advised {
  readonly command: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly data: unknown;
}

/** How the result of a training is kept whatever becomes of it: the end of a sentence about what is not. */
export function keepingAdvice({ pass }: StepKind, { options: { checkpoint } }: Advised): string {
  if (typeof checkpoint === "string")
    return `; ${checkpoint} keeps the trained weights. --force writes it in any case.`;
  if (!keysOf(pass.options).has("checkpoint")) return ". --force writes it in any case.";
  return ". To keep it in any case: --checkpoint <folder>, or --force.";
}

/**
 * Advice for a result that was refused.
 * @param unshown the estimate keeps the goal, and --strict demands more.
 */
export function lostAdvice(kind: StepKind, { command, options, data }: Advised, unshown = false): string {
  const { checkpoint } = options;
  const kept = typeof checkpoint === "string" ? `The trained weights are kept in ${checkpoint}. ` : "";
  const { gentler } = passCommandNamed(command);
  const offers = [
    ...(unshown ? ["Judge it on more samples, or without --strict"] : gentler === undefined ? [] : [gentler(options)]),
    data === undefined ? "measure it on your own samples (--data)" : "allow more (--max-drop)",
  ];
  const later = trains(kind) ? "" : " (before fine-tuning, for instance)";
  return `${kept}${offers.join(", ")}, or write it anyway: --force${later}.`;
}

/** What loses less, as a sentence of its own, for a training; "" for other passes, of which a small loss is expected. */
export function gentlerAdvice(kind: StepKind, { command, options }: Advised): string {
  const { gentler } = passCommandNamed(command);
  return gentler === undefined || !trains(kind) ? "" : ` ${gentler(options)}.`;
}
