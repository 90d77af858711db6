import type { Dense, Graph, Tensor } from "#graph";
import type { ExternalFiles } from "./external.ts";
import type { Field } from "./fields.ts";
import type { LazyFile } from "./lazy.ts";
import type { UnknownDims } from "./value-info.ts";
import type { Writer } from "./writer.ts";

/** State that all functions which read one model share. */
export interface Reading {
  readonly file: LazyFile;
  readonly external: ExternalFiles;
  readonly unknownDims: UnknownDims;
  readonly graph: (fields: readonly Field[], graph: Graph, depth: number) => Promise<void>;
}

/** State that all functions which write one model share. */
export interface Writing {
  /** The elements of string tensors that are not stored in a file. They are read in advance, because the size of their encoding depends on them. */
  readonly strings: ReadonlyMap<Tensor, Dense<"string">>;
  readonly graph: (writer: Writer, graph: Graph) => void;
}
