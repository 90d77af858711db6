/** Completes the options of a step, and states the samples that they need. */
import * as v from "valibot";
import { isObject } from "#ir";
import type { AnyPass, CalibrationData, OptionValues } from "#pass";

export const isTraining = (pass: AnyPass): boolean => pass.data === "train";

export const runOptionNames: readonly string[] = ["data", "metric", "checkpoint", "resume"];

/** A calibrating pass needs samples only for some options. */
export function splitOf(pass: AnyPass, options: OptionValues): "train" | "calibrate" | undefined {
  const { data } = pass;
  if (data === undefined || data === "train") return data;
  return wantsSamples(data, completeOptions(pass, options)) ? "calibrate" : undefined;
}

/** Returns whether text that a language model generates improves a step that uses no other samples. */
export const textHelps = (pass: AnyPass, options: OptionValues): boolean =>
  typeof pass.data === "object" && pass.data.textHelps?.(options) === true;

const wantsSamples = (data: CalibrationData, options: OptionValues): boolean =>
  data.when(options) !== undefined || data.helps?.(options) === true;

/** Adds the pass's defaults, and removes options that the run sets (`data`, `metric`, …). */
export function completeOptions(pass: AnyPass, options: OptionValues): OptionValues {
  const defaults = v.getDefaults(pass.options);
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  const complete = Object.entries({ ...(isObject(defaults) ? defaults : {}), ...Object.fromEntries(entries) });
  return Object.fromEntries(complete.filter(([key, value]) => value !== undefined && !runOptionNames.includes(key)));
}
