import type { Graph } from "../graph/graph.ts";
import type { Dense, Tensor } from "../tensor/types.ts";
import type { ExternalFiles } from "./external.ts";
import type { Field } from "./fields.ts";
import type { LazyFile } from "./lazy.ts";
import type { UnknownDims } from "./value-info.ts";
import type { Writer } from "./writer.ts";

/** The state of reading a model, shared by all its messages. */
export interface Reading {
  readonly file: LazyFile;
  readonly external: ExternalFiles;
  readonly unknownDims: UnknownDims;
  /** Reads a graph from its fields. */
  readonly graph: (fields: readonly Field[], graph: Graph, depth: number) => Promise<void>;
}

export interface Writing {
  /** The elements of string tensors that are not stored in a file, read in advance because their encoded size depends on the contents. */
  readonly strings: ReadonlyMap<Tensor, Dense<"string">>;
  readonly graph: (writer: Writer, graph: Graph) => void;
}
