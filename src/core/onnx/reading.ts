/** State that the readers (`decode.ts`) or writers (`encode.ts`) of one model share. */
import type { Dense, Graph, Tensor } from "#graph";
import type { ExternalFiles } from "./external.ts";
import type { Field } from "./fields.ts";
import type { LazyFile } from "./lazy-file.ts";
import type { UnknownDims } from "./value-info.ts";
import type { Writer } from "./writer.ts";

export interface Reading {
  readonly file: LazyFile;
  /** The files next to it that store weights. */
  readonly external: ExternalFiles;
  readonly unknownDims: UnknownDims;
  readonly graph: (fields: readonly Field[], graph: Graph, depth: number) => Promise<void>;
}

export interface Writing {
  /** String tensors that are not stored in a file. The size of their encoding depends on them. */
  readonly strings: ReadonlyMap<Tensor, Dense<"string">>;
  readonly graph: (writer: Writer, graph: Graph) => void;
}
