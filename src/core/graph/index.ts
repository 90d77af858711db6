export type { AnyType, Carried, Container, ForeignValue, Node, NodeSpec, Use, Value, ValueType } from "./elements.ts";
export { type Attribute, allGraphs, describe, subgraphs, toInteger, usedValues } from "./elements.ts";
export {
  type Emit,
  type EmitOptions,
  type EmitTools,
  emitInto,
  emitter,
  type Input,
  type OpName,
  passKey,
  type Subgraph,
  type Wanted,
} from "./emit.ts";
export { extract } from "./extract.ts";
export { functionOf, instantiate, type LocalFunction } from "./functions.ts";
export { Graph } from "./graph.ts";
export { structureHash } from "./hash.ts";
export { Model, type ModelHeader } from "./model.ts";
export { canTakeName, replaceNode, replaceUses, substitute } from "./replace.ts";
export {
  buffer,
  mask,
  parameter,
  parseRole,
  type Role,
  roleKey,
  roleText,
  type StraightThrough,
  straightThrough,
} from "./role.ts";
export {
  type Arity,
  checkForm,
  latestOpset,
  type NodeForm,
  type OperatorSchema,
  schemaAt,
  schemasOf,
} from "./schema.ts";
export { parseModel, printModel, printNode, printWholeModel } from "./text.ts";
export { assertValid, verify } from "./verify.ts";
