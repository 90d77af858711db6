/** Completes the options of a step, opens their modules, and states the samples that they need. */
import * as v from "valibot";
import { isObject } from "#ir";
import { type AnyPass, type OptionValues, openModules } from "#pass";

/** A pass with its options, which are opened once, where they enter. */
export interface ParsedStep {
  readonly pass: AnyPass;
  /** As written: modules are paths. */
  readonly options: OptionValues;
  /** `options` with the defaults of the pass, without options that the run sets (`data`, `metric`, …). */
  readonly complete: OptionValues;
  /** `options` with the exports of modules, for the pass. */
  readonly opened: OptionValues;
  /** The split whose samples the pass uses. A calibrating pass uses samples only with some options. */
  readonly split: "train" | "calibrate" | undefined;
}

/** @throws PithError as `openModules`. */
export const parseStep = async (pass: AnyPass, options: OptionValues): Promise<ParsedStep> =>
  completeStep(pass, options, await openModules(pass.id, pass.options, options));

/** Returns a step with other options. Modules that they share with the step stay open. */
export function changeStep(step: ParsedStep, options: OptionValues, pass = step.pass): ParsedStep {
  const keptEntries = Object.entries(step.opened).filter(([name]) => isOpened(step, name, options[name]));
  return completeStep(pass, options, { ...options, ...Object.fromEntries(keptEntries) });
}

/** Returns whether the value of an option is the path of a module. */
export const isOpened = ({ options, opened }: ParsedStep, name: string, value: unknown): boolean =>
  value === options[name] && value !== opened[name];

function completeStep(pass: AnyPass, options: OptionValues, opened: OptionValues): ParsedStep {
  return { pass, options, opened, complete: completeOptions(pass, options), split: splitOf(pass, opened) };
}

export const isTraining = (pass: AnyPass): boolean => pass.data === "train";

export const runOptionNames: readonly string[] = ["data", "metric", "checkpoint", "resume"];

export function splitOf(pass: AnyPass, openedOptions: OptionValues): ParsedStep["split"] {
  const { data } = pass;
  if (typeof data !== "object") return data;
  const complete = completeOptions(pass, openedOptions);
  return data.when(complete) !== undefined || data.helps?.(complete) === true ? "calibrate" : undefined;
}

/** Returns whether text that a language model generates improves a step that uses no other samples. */
export const textHelps = ({ pass: { data }, opened }: ParsedStep): boolean =>
  typeof data === "object" && data.textHelps?.(opened) === true;

/** Adds the pass's defaults, and removes options that the run sets (`data`, `metric`, …). */
export function completeOptions(pass: AnyPass, options: OptionValues): OptionValues {
  const defaults = v.getDefaults(pass.options);
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  const complete = Object.entries({ ...(isObject(defaults) ? defaults : {}), ...Object.fromEntries(entries) });
  return Object.fromEntries(complete.filter(([key, value]) => value !== undefined && !runOptionNames.includes(key)));
}
