import * as v from "valibot";
import { PithError } from "../../core/errors.ts";
import { type Curve, curves, dropLastDigits } from "../../core/math/curves.ts";
import { defaultExport, modulePath } from "../../core/pass/modules.ts";
import { described, option } from "../../core/pass/options.ts";
import type { AnyPass, OptionValues } from "../../core/pass/pass.ts";
import { namesAt, numbersAt } from "../../core/pass/schema.ts";
import { isObject } from "../../core/plain.ts";

const end = v.pipe(v.number(), v.finite("expected a finite number"));

const scheduleOptions = {
  from: described(end, "start value, before the first round"),
  to: described(end, "the value in the last round"),
  curve: option(
    v.union([
      v.picklist(Object.keys(curves) as (keyof typeof curves)[]),
      v.custom<(t: number) => number>((value) => typeof value === "function"),
      modulePath("is linear, cubic, exponential, or the path of a module that exports a function", Object.keys(curves)),
    ]),
    "linear (the default), cubic (fast at first), exponential (by the same factor in each round), or a module whose default export is a function from the share of the rounds to the share of the way",
  ),
};

/** Schema of a schedule, which replaces a number in a recipe: `{ from: 5%, to: 80%, curve: cubic }`. */
export const scheduleSchema = v.strictObject(scheduleOptions);

export interface Round {
  readonly number: number;
  readonly total: number;
}

export type Path = readonly (string | number)[];

export function findSchedules(pass: AnyPass, options: OptionValues): readonly { path: Path; given: unknown }[] {
  const schedules: { path: Path; given: unknown }[] = [];
  replaceSchedules(pass, options, [], (given, path) => schedules.push({ path, given }));
  return schedules;
}

/** Returns the options for one round. Integer options are rounded. @param options their schedules must fit `scheduleSchema`. */
export function optionsInRound(pass: AnyPass, options: OptionValues, { number, total }: Round): OptionValues {
  return replaceSchedules(pass, options, [], (schedule, path) => {
    const value = valueInRound(number, total, schedule as OptionSchedule);
    return numbersAt(pass.options, path) === "whole" ? Math.round(value) : value;
  }) as OptionValues;
}

/** Replaces module paths of curves by the functions that the modules export. @throws PithError E_OPTION if a module exports no function. */
export async function withCurves(pass: AnyPass, options: OptionValues): Promise<OptionValues> {
  const opened = new Map<unknown, OptionSchedule>();
  for (const { given } of findSchedules(pass, options)) {
    const course = given as OptionSchedule;
    if (typeof course.curve !== "string" || course.curve in curves) continue;
    const at = `${pass.id}: "curve"`;
    const curve = await defaultExport(course.curve, at);
    if (typeof curve !== "function")
      throw new PithError("E_OPTION", `${at}: ${course.curve} has no function as its default export.`, {
        hint: "export default (t) => t ** 2, for example: from 0 to 1, and to 1 at 1.",
      });
    opened.set(given, { ...course, curve: (t) => Number(Reflect.apply(curve, undefined, [t])) });
  }
  return opened.size === 0
    ? options
    : (replaceSchedules(pass, options, [], (schedule) => opened.get(schedule) ?? schedule) as OptionValues);
}

function replaceSchedules(
  pass: AnyPass,
  value: unknown,
  path: Path,
  replace: (given: unknown, path: Path) => unknown,
): unknown {
  if (Array.isArray(value))
    return value.map((inner, index) => replaceSchedules(pass, inner, [...path, index], replace));
  if (!isObject(value)) return value;
  if (isSchedule(pass, value, path)) return replace(value, path);
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, replaceSchedules(pass, inner, [...path, name], replace)]),
  );
}

/** Returns whether an object is a schedule, because an option of the pass can also be an object with keys such as "from". */
function isSchedule(pass: AnyPass, value: object, path: Path): boolean {
  if (path.length === 0 || numbersAt(pass.options, path) === undefined) return false;
  const names = namesAt(pass.options, path);
  return Object.keys(scheduleOptions).some((name) => name in value && !names.includes(name));
}

/** Value that changes from round to round. */
export interface OptionSchedule {
  readonly from: number;
  readonly to: number;
  /**
   * Curve: a name ("linear"), a function, or the path of a module that exports one. It maps the share of the rounds to the share of the way (0 to 1).
   */
  readonly curve?: string | ((t: number) => number) | undefined;
}

/** Returns the value in a round, counted from 1 to `rounds`. @throws PithError E_OPTION if the curve gives no finite value. */
export function valueInRound(round: number, rounds: number, { from, to, curve = "linear" }: OptionSchedule): number {
  const t = round / rounds;
  const curveFunction =
    typeof curve === "string" ? curveOf(curve) : (t: number) => from + (to - from) * shareAt(t, curve);
  const value = curveFunction(t, from, to);
  if (Number.isFinite(value)) return dropLastDigits(value);
  throw new PithError("E_OPTION", `"${curve}" does not lead from ${from} to ${to}.`, {
    hint: 'Each round multiplies by one factor, so both ends have to be above 0; "linear" and "cubic" lead from anywhere to anywhere.',
  });
}

/** Returns the curve with this name. A module path counts as linear until the module is opened. */
const curveOf = (curve: string): Curve => new Map<string, Curve>(Object.entries(curves)).get(curve) ?? curves.linear;

function shareAt(t: number, curve: (t: number) => number): number {
  const share: unknown = curve(t);
  if (typeof share === "number" && share >= 0 && share <= 1) return share;
  throw new PithError("E_OPTION", `"curve" gives shares from 0 to 1, got ${String(share)} at ${t}.`);
}
