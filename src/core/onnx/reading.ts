/** State that the functions share which read one model from a file (`decode.ts`), or write one (`encode.ts`). */
import type { Dense, Graph, Tensor } from "#graph";
import type { ExternalFiles } from "./external.ts";
import type { Field } from "./fields.ts";
import type { LazyFile } from "./lazy.ts";
import type { UnknownDims } from "./value-info.ts";
import type { Writer } from "./writer.ts";

export interface Reading {
  /** The model's file, of which large tensors stay unread. */
  readonly file: LazyFile;
  /** The files next to it that store weights. */
  readonly external: ExternalFiles;
  /** Names for dimensions without a name. */
  readonly unknownDims: UnknownDims;
  /** Reads a subgraph: attributes contain graphs, and graphs contain attributes. */
  readonly graph: (fields: readonly Field[], graph: Graph, depth: number) => Promise<void>;
}

export interface Writing {
  /** The elements of string tensors that are not stored in a file. They are read in advance, because the size of their encoding depends on them. */
  readonly strings: ReadonlyMap<Tensor, Dense<"string">>;
  readonly graph: (writer: Writer, graph: Graph) => void;
}
