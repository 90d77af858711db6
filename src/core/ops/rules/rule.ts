/** Defines rules that replace a pair of nodes, or a larger structure, by fewer nodes. */
import { type Attribute, type Dim, type Emit, type Match, type Node, operatorName, type Value } from "#graph";
import type { Operand, Site } from "../define.ts";

export interface PairScope {
  /** The producer of the second node's `input`. */
  readonly first: Node;
  readonly second: Node;
  readonly firstSite: Site;
  readonly secondSite: Site;
  readonly input: number;
  /** Whether only the second node reads the first node. */
  readonly isOnlyReader: boolean;
  readonly emit: Emit;
  site(node: Node): Site;
  /** Returns whether a value is stored or computed in the graph of `second` by known operators, is not an output, and is not protected. */
  canChange(value: Value): boolean;
  operand(value: Value): Operand | undefined;
}

/** The value that replaces the second node's output, or new inputs and attributes of the second node. */
export type PairResult =
  | { readonly value: Value }
  | {
      readonly inputs: readonly (Value | undefined)[];
      /** Undefined removes an attribute. */
      readonly attributes?: Readonly<Record<string, Attribute | undefined>>;
    }
  | undefined;

interface RuleProperties {
  /** The name by which the options `only` and `skip` select the rule. */
  readonly id: string;
  readonly description: string;
  /** Whether the rule changes the order of arithmetic. */
  readonly reorders?: true;
  /** Whether the rule writes an operator that WebGPU lacks in ONNX Runtime 1.30, so that it runs on the CPU. */
  readonly lacksWebGpu?: true;
  /** Whether the rule computes one stored tensor from several, which can be parameters of two layers. */
  readonly mergesParameters?: true;
}

export interface PairRule extends RuleProperties {
  /** Operator names, with a non-default domain in front. */
  readonly first: readonly string[];
  readonly second: readonly string[];
  readonly requiresSameOperator?: true;
  fuse(scope: PairScope): PairResult;
}

export interface StructureScope {
  readonly last: Node;
  readonly emit: Emit;
  site(node: Node): Site;
  operand(value: Value): Operand | undefined;
  /** Infers the outputs of a changed node again. */
  visit(node: Node): void;
  canChange(value: Value): boolean;
  /** Matches the first output of `last`; undefined if a value inside of the structure has a reader outside of it, has a role, or is an output. */
  match<M extends Match<string, string>>(find: (value: Value) => M | undefined): M | undefined;
}

export interface StructureRule extends RuleProperties {
  /** Operator names of the last node, with a non-default domain in front. */
  readonly last: readonly string[];
  fuse(scope: StructureScope): PairResult;
}

export type StructureRuleLookup = (last: Node) => readonly StructureRule[];

export function structuresOf(structures: readonly StructureRule[]): StructureRuleLookup {
  const rules = new Map<string, StructureRule[]>();
  for (const structure of structures)
    for (const op of structure.last) rules.set(op, [...(rules.get(op) ?? []), structure]);
  return (last) => rules.get(operatorName(last)) ?? [];
}

export type PairRuleLookup = (first: Node, second: Node) => readonly PairRule[];

export function rulesOf(pairs: readonly PairRule[]): PairRuleLookup {
  const rules = new Map<string, PairRule[]>();
  for (const pair of pairs) {
    for (const first of pair.first) {
      for (const second of pair.requiresSameOperator === true ? [first] : pair.second) {
        const key = `${first} ${second}`;
        rules.set(key, [...(rules.get(key) ?? []), pair]);
      }
    }
  }
  return (first, second) => rules.get(`${operatorName(first)} ${operatorName(second)}`) ?? [];
}

export const ints = (value: readonly number[]): Attribute => ({ kind: "ints", value });

export const producerOf = (value: Value | undefined, op: string): Node | undefined =>
  value?.producer?.op === op && value.producer.domain === "" ? value.producer : undefined;

export function dimsOf(scope: Pick<PairScope, "operand">, value: Value | undefined): readonly Dim[] | undefined {
  return value && scope.operand(value)?.dims;
}

/** Gives the producer of `value` the name of the replaced node, and attributes that it lacks. */
export function inheritFrom(value: Value, replacedNode: Node): PairResult {
  const { producer } = value;
  if (producer === undefined) return undefined;
  for (const [name, attribute] of replacedNode.attributes)
    if (!producer.attributes.has(name)) producer.graph.setAttribute(producer, name, attribute);
  producer.name = replacedNode.name;
  return { value };
}

export function emitNamed(scope: PairScope | StructureScope): Emit {
  const replacedNode = "last" in scope ? scope.last : scope.second;
  return scope.emit.named(replacedNode.outputs[0]?.name ?? replacedNode.op);
}
