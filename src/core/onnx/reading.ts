import type { Graph } from "../graph/graph.ts";
import type { Dense, Tensor } from "../tensor/types.ts";
import type { ExternalFiles } from "./external.ts";
import type { Field } from "./fields.ts";
import type { LazyFile } from "./lazy.ts";
import type { UnknownDims } from "./value-info.ts";
import type { Writer } from "./writer.ts";

export interface Reading {
  readonly file: LazyFile;
  readonly external: ExternalFiles;
  readonly unknownDims: UnknownDims;
  readonly graph: (fields: readonly Field[], graph: Graph, depth: number) => Promise<void>;
}

export interface Writing {
  /** The elements of string tensors that are not in a file: their size is known only after reading. */
  readonly strings: ReadonlyMap<Tensor, Dense<"string">>;
  readonly graph: (writer: Writer, graph: Graph) => void;
}
