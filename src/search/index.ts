/** The search for a smaller model over all techniques. */
export { type Ahead, divided, type Finalists, movesFor, type SearchOptions, search, tryIn } from "./search.ts";
