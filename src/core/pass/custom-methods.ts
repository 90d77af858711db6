/**
 * Checks and calls custom methods that users write: criteria, patterns, solvers, rounding methods. Exceptions
 * in them are reported as errors of the option.
 */
import { failureOfCode, PithError } from "#graph";

/** The names of a method's functions, at least one of which must exist. */
export type Does = string | readonly string[];

/**
 * Returns whether a value is a method: an object with an `id` and one of the functions `does`. If it has `evidence`, that must be a valid statistic.
 */
export function isMethod(value: unknown, does: Does): boolean {
  const evidence = memberOf(value, "evidence");
  const hasValidStatistic = evidence === undefined || typeof memberOf(evidence, "begin") === "function";
  const hasFunction = [does].flat().some((name) => typeof memberOf(value, name) === "function");
  return hasValidStatistic && hasFunction && typeof memberOf(value, "id") === "string";
}

/** Returns a property of any value; undefined if the value is not an object or its getter throws. */
export function memberOf(value: unknown, name: string): unknown {
  try {
    return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
  } catch {
    return undefined;
  }
}

export const areMatrices = (value: unknown): boolean =>
  Array.isArray(value) && value.every((item) => typeof memberOf(memberOf(item, "data"), "length") === "number");

/**
 * Returns the result of a custom method, which must be synchronous.
 * @param whose The method in error messages, such as `The pattern "comb"`.
 * @throws PithError E_OPTION if the method throws or returns a promise.
 */
export function answerOf<T>(whose: string, method: () => T): T {
  let answer: T;
  try {
    answer = method();
  } catch (cause) {
    throw failureOfCode("E_OPTION", whose, cause);
  }
  if (!(answer instanceof Promise)) return answer;
  answer.catch(() => {});
  throw new PithError("E_OPTION", `${whose} returned a promise, but must return the result directly.`, {
    hint: "Remove `async` from the function.",
  });
}

/**
 * Returns the result of a custom method, which can be a promise.
 * @throws PithError E_OPTION if the method throws.
 */
export async function awaitedAnswerOf<T>(whose: string, method: () => T | Promise<T>): Promise<T> {
  try {
    return await method();
  } catch (cause) {
    throw failureOfCode("E_OPTION", whose, cause);
  }
}

interface Collecting {
  begin(...settings: never[]): { add(...samples: never[]): unknown; end(): unknown };
}

/**
 * Wraps the statistic of a custom method, so that its exceptions name the method.
 * @param answered `awaitedAnswerOf` if the results of `add` can be promises, otherwise `answerOf`.
 */
export function statisticOf<S extends Collecting>(
  whose: string,
  statistic: S,
  answered: typeof answerOf | typeof awaitedAnswerOf = awaitedAnswerOf,
): S {
  const begin: Collecting["begin"] = (...settings) => {
    const running = answerOf(whose, () => statistic.begin(...settings));
    return {
      add: (...samples) => answered(whose, () => running.add(...samples)),
      end: () => answerOf(whose, () => running.end()),
    };
  };
  return Object.assign(Object.create(statistic), { begin });
}
