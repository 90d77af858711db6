import type { Emit } from "../../graph/emit.ts";
import { type Attribute, type Node, operatorName, type Value } from "../../graph/graph.ts";
import type { Dim } from "../../tensor/dims.ts";
import type { Operand, Site } from "../define.ts";

export interface PairScope {
  /** The producer of the value that the second node reads at `input`. */
  readonly first: Node;
  readonly second: Node;
  readonly firstSite: Site;
  readonly secondSite: Site;
  readonly input: number;
  /** True if only the second node reads the first, so that the first is removed with its last reader. */
  readonly isOnlyReader: boolean;
  readonly emit: Emit;
  /** Returns the facts about a value. */
  operand(value: Value): Operand | undefined;
}

/** The value that replaces the second node's output, or the second node's new inputs and changed attributes. Undefined: the rule does not apply. */
export type PairResult =
  | { readonly value: Value }
  | {
      readonly inputs: readonly (Value | undefined)[];
      /** Undefined removes an attribute. */
      readonly attributes?: Readonly<Record<string, Attribute | undefined>>;
    }
  | undefined;

export interface Pair {
  /** States the rule, for messages and test titles. */
  readonly description: string;
  /** Operator names, with the domain in front if it is not the default. */
  readonly first: readonly string[];
  readonly second: readonly string[];
  /** True if both operators must be the same. */
  readonly same?: true;
  /** True if the rule changes the summation order, so that last bits can differ. */
  readonly reorders?: true;
  fuse(scope: PairScope): PairResult;
}

export type PairRules = (first: Node, second: Node) => readonly Pair[];

/** Returns a function that lists the rules for the operators of two nodes, in the given order. */
export function rulesOf(pairs: readonly Pair[]): PairRules {
  const rules = new Map<string, Pair[]>();
  for (const pair of pairs) {
    for (const first of pair.first) {
      for (const second of pair.same === true ? [first] : pair.second) {
        const key = `${first} ${second}`;
        rules.set(key, [...(rules.get(key) ?? []), pair]);
      }
    }
  }
  return (first, second) => rules.get(`${operatorName(first)} ${operatorName(second)}`) ?? [];
}

export const ints = (value: readonly number[]): Attribute => ({ kind: "ints", value });

export function dimsOf(scope: PairScope, value: Value | undefined): readonly Dim[] | undefined {
  return value && scope.operand(value)?.dims;
}

/** Writes a node whose first output has the name of the second node's output. */
export const emitNamed = ({ emit, second }: PairScope): Emit => emit.named(second.outputs[0]?.name ?? second.op);
