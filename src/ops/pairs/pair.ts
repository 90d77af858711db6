/** Two operators in a row that one could do: what a rule for them sees and answers. The rules are in `index.ts`. */

import type { Emit } from "../../graph/emit.ts";
import { type Attribute, type Node, operatorName, type Value } from "../../graph/graph.ts";
import type { Dim } from "../../tensor/dims.ts";
import type { Operand, Site } from "../define.ts";

export interface PairScope {
  /** The node whose output 0 the second reads, and the node that reads it. */
  readonly first: Node;
  readonly second: Node;
  readonly firstSite: Site;
  readonly secondSite: Site;
  readonly input: number;
  /** The first node has no other reader: it goes if the second no longer reads it. */
  readonly alone: boolean;
  readonly emit: Emit;
  operand(value: Value): Operand | undefined;
}

/** What takes the place of the pair. */
export type PairResult =
  /** A value in place of the second node's output. */
  | { readonly value: Value }
  /** The second node, with other inputs and attributes. */
  | {
      readonly inputs: readonly (Value | undefined)[];
      /** Undefined takes an attribute away. */
      readonly attributes?: Readonly<Record<string, Attribute | undefined>>;
    }
  | undefined;

export interface Pair {
  readonly what: string;
  /** Operators by name; those of other domains with the domain in front. */
  readonly first: readonly string[];
  readonly second: readonly string[];
  readonly same?: true;
  /** Sums are added up in another order: last bits may change. */
  readonly reorders?: true;
  fuse(scope: PairScope): PairResult;
}

/** The rules for two nodes in a row, none for most. */
export type PairRules = (first: Node, second: Node) => readonly Pair[];

/** Finds rules by the operators of both nodes; in the order given, of which the first that answers is taken. */
export function rulesOf(pairs: readonly Pair[]): PairRules {
  const found = new Map<string, Pair[]>();
  for (const pair of pairs) {
    for (const first of pair.first) {
      for (const second of pair.same === true ? [first] : pair.second) {
        const key = `${first} ${second}`;
        found.set(key, [...(found.get(key) ?? []), pair]);
      }
    }
  }
  return (first, second) => found.get(`${operatorName(first)} ${operatorName(second)}`) ?? [];
}

export const ints = (value: readonly number[]): Attribute => ({ kind: "ints", value });

export function dimsOf(scope: PairScope, value: Value | undefined): readonly Dim[] | undefined {
  return value === undefined ? undefined : scope.operand(value)?.dims;
}
