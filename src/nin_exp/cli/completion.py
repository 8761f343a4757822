"""``nin-exp completion SHELL``: the script that teaches a shell to complete."""

from __future__ import annotations

from collections.abc import Sequence

from nin_exp.cli.flags import make_parser
from nin_exp.errors import ConfigError, nearest

_SCRIPTS = {
    "bash": r"""_nin_exp() {
    # words as typed: bash cuts at = and : by default
    local line="${COMP_LINE:0:COMP_POINT}" word prefix='' candidate
    word="${line##*[[:space:]]}"
    # readline replaces what stands behind the last =
    if [[ "$word" == *=* ]]; then prefix="${word%"${word##*=}"}"; fi
    COMPREPLY=()
    while IFS= read -r candidate; do
        candidate="${candidate#"$prefix"}"
        if [[ "$candidate" == *[!a-zA-Z0-9=,/._+:@%~-]* ]]; then printf -v candidate %q "$candidate"; fi
        COMPREPLY+=("$candidate")
    done < <(nin-exp __complete "$line" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[=/] ]]; then compopt -o nospace; fi
}
complete -F _nin_exp nin-exp
""",
    "zsh": r"""#compdef nin-exp
_nin_exp() {
    local -a found
    found=(${(f)"$(nin-exp __complete "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)"})
    compadd -S '' -- ${(M)found:#*[=/]}
    compadd -- ${found:#*[=/]}
}
compdef _nin_exp nin-exp
""",
    "fish": r"""complete -c nin-exp -f -a '(nin-exp __complete (commandline -cp) 2>/dev/null)'
""",
}
_WHERE = {
    "bash": 'eval "$(nin-exp completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(nin-exp completion zsh)"    # in ~/.zshrc, after compinit',
    "fish": "nin-exp completion fish > ~/.config/fish/completions/nin-exp.fish",
}


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("completion", "Print the completion script of a shell.", "\n".join(_WHERE.values()))
    parser.add_argument("shell", metavar="|".join(_SCRIPTS), help="which shell")
    args = parser.parse(arguments)
    if args.shell not in _SCRIPTS:
        raise ConfigError(f"'{args.shell}' is not a shell with completion.{nearest(args.shell, _SCRIPTS)}")
    print(_SCRIPTS[args.shell], end="")
    return 0
