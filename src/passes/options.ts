/** Options that several passes have, declared once. */
import * as v from "valibot";

/** A schema with the words that help and documentation show. */
export const described = <S extends v.GenericSchema>(schema: S, text: string) => v.pipe(schema, v.description(text));

const names = v.optional(
  v.union([v.string(), v.array(v.string())], "takes the name of a layer, or a list of names and patterns"),
);

/** `layers` and `except`, as `selectLayers` takes them. `verb` says what is done to a layer. */
export const selectionOptions = (verb: string) => ({
  layers: described(names, `layers to ${verb}: names or patterns (all)`),
  except: described(names, "layers to leave as they are: names or patterns"),
});
