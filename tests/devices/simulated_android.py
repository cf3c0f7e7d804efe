"""What a simulated phone answers to getprop and dumpsys: shapes as real phones have them, values made up."""

from tests.devices.adbd import Adbd

PROPERTIES = """[ro.board.platform]: [simulated]
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.build.version.security_patch]: [2024-05-01]
[ro.product.manufacturer]: [Loopfront]
[ro.product.model]: [Simulated X1]
[ro.serialno]: [{serial}]
[ro.soc.manufacturer]: [Loopfront]
[ro.soc.model]: [SIM8650]
[persist.sys.timezone]: []
"""

BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Dock powered: false
  Max charging current: 500000
  Max charging voltage: 5000000
  Charge counter: 3270000
  status: {status}
  health: 2
  present: true
  level: {level}
  scale: 100
  voltage: 4156
  temperature: {tenths}
  technology: Li-ion
"""

THERMAL = """IsStatusOverride: false
ThermalEventListeners:
	callbacks: 2
	killed: false
	broadcasts count: -1
ThermalStatusListeners:
	callbacks: 4
	killed: false
	broadcasts count: -1
Thermal Status: {status}
Cached temperatures:
	Temperature{{mValue=88.0, mType=0, mName=CPU0, mStatus=0}}
	Temperature{{mValue=25.7, mType=5, mName=PA, mStatus=0}}
HAL Ready: true
HAL connection:
	ThermalHAL AIDL 1  connected: yes
Current temperatures from HAL:
	Temperature{{mValue={skin_c}, mType=3, mName=skin, mStatus=0}}
	Temperature{{mValue=36.1, mType=0, mName=CPU0, mStatus=0}}
	Temperature{{mValue=0.0, mType=2, mName=SUBBAT, mStatus=0}}
	Temperature{{mValue=-99.9, mType=5, mName=PA, mStatus=0}}
	Temperature{{mValue=97.0, mType=8, mName=soc, mStatus=0}}
Current cooling devices from HAL:
	CoolingDevice{{mValue=0, mType=2, mName=cpufreq-cpu0}}
Temperature static thresholds from HAL:
	TemperatureThreshold{{mType=3, mName=skin, mHotThrottlingThresholds=[NaN, 39.0, 41.0, 43.0, 45.0, 46.5, 55.0]}}
"""


def properties(serial: str = "SIM0001ABCD") -> str:
    return PROPERTIES.format(serial=serial)


def battery(level: int = 83, status: int = 2, tenths: int = 274) -> str:
    return BATTERY.format(level=level, status=status, tenths=tenths)


def thermal(status: int = 0, skin_c: float = 31.5) -> str:
    return THERMAL.format(status=status, skin_c=skin_c)


def tell_of_a_phone(phone: Adbd, serial: str = "SIM0001ABCD") -> None:
    """Give the phone a getprop and a dumpsys."""
    phone.tell("getprop", properties(serial))
    phone.tell("dumpsys-battery", battery())
    phone.tell("dumpsys-thermalservice", thermal())
