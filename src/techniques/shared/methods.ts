/** Defines options whose value is the name of a built-in method, or a custom method that users write. */
import * as v from "valibot";
import { failureOfCode, optionError } from "#ir";
import { type Meanings, modulePath } from "#pass";

/** The names of a method's functions, at least one of which must exist. */
export type FunctionNames = string | readonly string[];

export function methodTable<M extends object, const Name extends string>(
  methods: Readonly<Record<Name, M & { readonly summary: string }>>,
  { kind, does, title }: { readonly kind: string; readonly does: FunctionNames; readonly title: string },
) {
  const names = Object.keys(methods) as Name[];
  const shown = names.map((word) => `"${word}", `).join("");
  const accepted = `is ${shown}${kind} { id, ${[does].flat().join(" or ")} }, or the path of a module that exports one`;
  const custom = v.custom<M>((value) => isMethod(value, does));
  const methodsByName = new Map<string, M>(Object.entries<M>(methods));
  const resolve = (value: unknown): M | undefined => {
    const method = typeof value === "string" ? methodsByName.get(value) : value;
    return isMethod(method, does) ? (method as M) : undefined;
  };
  const meanings: Meanings = { title, rows: names.map((name) => [name, methods[name].summary] as const) };
  return {
    schema: v.union([v.picklist(names), custom, modulePath(accepted, names)], accepted),
    meanings,
    /** Returns the method that an option names or contains, if it does. */
    known: resolve,
    /** Returns the method that an option names or contains, once `openModules` has replaced paths. */
    of(value: string | M): M {
      const method = typeof value === "string" ? methodsByName.get(value) : value;
      if (method === undefined) throw new Error(`There is no method "${value}".`);
      return method;
    },
    /** Returns whether a method needs samples. */
    looksAtSamples(value: unknown): boolean {
      return memberOf(resolve(value), "evidence") !== undefined;
    },
  };
}

/** Returns whether a value is a method: an `id`, one of the functions `does`, and no invalid statistic as `evidence`. */
export function isMethod(value: unknown, does: FunctionNames): boolean {
  const evidence = memberOf(value, "evidence");
  const hasValidStatistic = evidence === undefined || typeof memberOf(evidence, "begin") === "function";
  const hasFunction = [does].flat().some((name) => typeof memberOf(value, name) === "function");
  return hasValidStatistic && hasFunction && typeof memberOf(value, "id") === "string";
}

/** Returns a property of any value; undefined if the value is not an object or its getter throws. */
function memberOf(value: unknown, name: string): unknown {
  try {
    return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
  } catch {
    return undefined;
  }
}

export const areMatrices = (value: unknown): boolean =>
  Array.isArray(value) && value.every((item) => typeof memberOf(memberOf(item, "data"), "length") === "number");

/** Returns the result of a synchronous custom method. @param whose names it in messages. @throws PithError E_OPTION if it throws or returns a promise. */
export function answerOf<T>(whose: string, method: () => T): T {
  let answer: T;
  try {
    answer = method();
  } catch (cause) {
    throw failureOfCode("E_OPTION", whose, cause);
  }
  if (!(answer instanceof Promise)) return answer;
  answer.catch(() => {});
  throw optionError(`${whose} returned a promise, but must return the result directly.`, {
    hint: "Remove `async` from the function.",
  });
}

/** Returns the result of a custom method, which can be a promise. @throws PithError E_OPTION if the method throws. */
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

/** Wraps a statistic, so that exceptions name the method. @param getAnswer `awaitedAnswerOf` if `add` can return promises, else `answerOf`. */
export function statisticOf<S extends Collecting>(
  whose: string,
  statistic: S,
  getAnswer: typeof answerOf | typeof awaitedAnswerOf = awaitedAnswerOf,
): S {
  const begin: Collecting["begin"] = (...settings) => {
    const running = answerOf(whose, () => statistic.begin(...settings));
    return {
      add: (...samples) => getAnswer(whose, () => running.add(...samples)),
      end: () => answerOf(whose, () => running.end()),
    };
  };
  return Object.assign(Object.create(statistic), { begin });
}
