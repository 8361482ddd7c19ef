"""The public functions on arrays, read from the headers: name -> signature in letters, as in signatures.def."""
import re

KINDS = [(r"const int \*\w+, const int \*\w+, int \w+", "P"), (r"const int64_t \*\w+, const int \*\w+, int \w+", "S"),
         (r"const int64_t \*\w+, const int64_t \*\w+", "D"), (r"th_array \*const \*\w+, int \w+", "A"), (r"const int \*\w+, int \w+", "I"),
         (r"const int64_t \*\w+, int \w+", "L"), (r"(const )?th_array \*\w+", "a"), (r"th_array \*\*\w+", "O"),
         (r"double \w+", "d"), (r"int64_t \w+", "l"), (r"int \w+", "i"), (r"bool \w+", "b"), (r"th_dtype \w+", "t"),
         (r"th_device \w+", "v"), (r"const char \*\w+", "s")]


def letters(parameters):
    """ "const th_array *a, const int *axes, int n_axes, bool keepdims" -> "aIb"; "?" stands for what is not known."""
    out = ""
    while parameters:
        for pattern, letter in KINDS:
            found = re.match(pattern + r"(, |$)", parameters)
            if found:
                out, parameters = out + letter, parameters[found.end():]
                break
        else:
            out, parameters = out + "?", parameters.partition(", ")[2]
    return out


def read(paths):
    found = {}
    for path in paths:
        with open(path) as file:
            text = re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)
        for statement in re.findall(r"^TH_API ([^;]*);", text, flags=re.M):
            statement = re.sub(r"\s+", " ", statement).replace("( ", "(").replace("* ", "*")
            parts = re.match(r"(th_array \*|th_status )th_(\w+)\((.*)\)$", statement)
            if not parts or "th_array" not in statement:
                continue
            result = "w" if parts.group(1).startswith("th_status") else "a"
            found[parts.group(2)] = result + ":" + letters(parts.group(3))
    return found
