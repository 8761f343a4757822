"""``nin-exp completion SHELL``: the script that teaches a shell to complete."""

from __future__ import annotations

from collections.abc import Sequence

from nin_exp.cli.flags import make_parser
from nin_exp.errors import ConfigError, nearest

_SCRIPTS = {
    "bash": """_nin_exp() {
    local IFS=$'\\n'
    # words as typed: bash cuts at = and : by default
    local line="${COMP_LINE:0:COMP_POINT}" cur
    cur="${line##*[[:space:]]}"
    COMPREPLY=($(nin-exp __complete "$line" 2>/dev/null))
    if [[ "$cur" == *=* ]]; then
        # readline replaces what stands behind the last =
        local prefix="${cur%"${cur##*=}"}" i
        for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]="${COMPREPLY[i]#"$prefix"}"; done
    fi
    [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[=/] ]] && compopt -o nospace
}
complete -F _nin_exp nin-exp
""",
    "zsh": """#compdef nin-exp
_nin_exp() {
    local -a found
    found=("${(@f)$(nin-exp __complete "${BUFFER[1,CURSOR]}" 2>/dev/null)}")
    compadd -Q -S '' -- $found
}
compdef _nin_exp nin-exp
""",
    "fish": """complete -c nin-exp -f -a '(nin-exp __complete (commandline -cp) 2>/dev/null)'
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
    parser.add_argument("shell", help="bash, zsh or fish")
    args = parser.parse(arguments)
    if args.shell not in _SCRIPTS:
        raise ConfigError(f"'{args.shell}' is not a shell with completion.{nearest(args.shell, _SCRIPTS)}")
    print(_SCRIPTS[args.shell], end="")
    return 0
