"""What a CPU is called and has, as Linux reports."""

from pathlib import Path

from oneglance.models.instruction_sets import cpu_name, describe_cpu, instruction_sets

X86 = "processor\t: 0\nmodel name\t: AMD EPYC 9\nflags\t\t: fpu sse2 avx avx2 avx512_vnni\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp bf16\n"


def test_an_x86_cpu_tells_its_name_and_sets(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(X86)
    assert cpu_name(file) == "AMD EPYC 9"
    assert instruction_sets(file) == ("avx", "avx2", "avx512_vnni")


def test_an_arm_cpu_tells_its_sets(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(ARM)
    assert instruction_sets(file) == ("asimd", "asimddp", "bf16")


def test_a_system_that_tells_nothing_is_taken_as_it_is(tmp_path: Path) -> None:
    assert instruction_sets(tmp_path / "none") == ()
    assert cpu_name(tmp_path / "none")
    assert describe_cpu()
