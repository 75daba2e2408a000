"""What the fakes of all clouds share: time, faults, the bytes of volumes, and Linux hosts.

`clock` is the time they live in, `agenda` what is going to happen in it, `faults` what goes wrong
and when, `backing` the files that hold the bytes, and `node` what a host shows of a disk. With
`layer` and `server` a cloud is asked over HTTP.
"""
