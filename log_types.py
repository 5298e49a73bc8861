"""Log types: every code that Auth0 documents, with its group and its official name.

Source: https://auth0.com/docs/deploy-monitor/logs/log-event-type-codes and the log schemas at
https://auth0.com/docs/tenant-logs, August 2026. Where Auth0 gives several codes one name, what
tells them apart follows a colon, from Auth0's description or the code itself.
"""


def _read(table: str) -> dict[str, str]:
    """The lines of a table: a code, and the name."""
    names = {}
    for line in table.strip().splitlines():
        code, name = line.split(maxsplit=1)
        names[code] = name
    return names


# What failed, was rejected or cancelled, or ended in an error.
FAILURES = _read(
    """
    actions_execution_failed  Actions Execution Failed
    ciba_exchange_failed  Failed CIBA Exchange
    ciba_start_failed  Failed CIBA Start
    coff  Connector Offline
    connected_accounts_connection_failed  Failed Connected Account Connection
    connected_accounts_delete_failed  Failed Connected Account Delete
    custom_domain_verification_failed  Custom Domain Verification Failed
    directory_sync_failed  Inbound Directory Sync Failed
    f  Failed Login
    failed_on_behalf_of_token_exchange  Failed Exchange: On-Behalf-Of Token Exchange
    fapi  Failed API Operation
    fc  Failed by Connector
    fce  Failed Change Email
    fco  Failed by CORS
    fcoa  Failed cross-origin authentication
    fcp  Failed Change Password
    fcph  Failed Post Change Password Hook
    fcpn  Failed Change Phone Number
    fcpr  Failed Change Password Request
    fcpro  Failed Connector Provisioning
    fcu  Failed Change Username
    fd  Failed Delegation
    fdeac  Failed Device Activation
    fdeaz  Failed Device Authorization Request
    fdecc  User Canceled Device Confirmation
    fdeleacft  Failed to Exchange Delegated Authorization Code for Access Token
    fdelsa  Failed Delegated Silent Authentication
    fdu  Failed User Deletion
    feacft  Failed Exchange: Authorization Code
    feccft  Failed Exchange: Client Credentials
    fecte  Failed Exchange: Custom Token Exchange
    fede  Failed Exchange: Device Code
    federated_logout_failed  Failed Federated Logout
    fens  Failed Exchange: Native Social Login
    feoobft  Failed Exchange: Password and OOB Challenge
    feotpft  Failed Exchange: Password and OTP Challenge
    fepft  Failed Exchange: Password
    fepotpft  Failed Exchange: Passwordless OTP
    fercft  Failed Exchange: Password and MFA Recovery Code
    ferrt  Failed Exchange: Rotating Refresh Token
    fertft  Failed Exchange: Refresh Token
    feta  Failed Exchange: Token Vault
    fi  Failed invite accept
    flo  Failed Logout
    flows_execution_failed  Flows Execution Failed
    fn  Failed Sending Notification
    forms_submission_failed  Forms Submission Failed
    fp  Failed Login (Incorrect Password)
    fpar  Failed Pushed Authorization Request
    fpurh  Failed Post User Registration Hook
    fs  Failed Signup
    fsa  Failed Silent Auth
    fscim  Failed SCIM Operation
    fu  Failed Login (Invalid Email/Username)
    fui  Failed users import
    fv  Failed Verification Email
    fvr  Failed Verification Email Request
    gd_auth_fail_email_verification  Email Verification Failed: Authentication
    gd_auth_failed  MFA Auth failed
    gd_auth_rejected  MFA Auth rejected
    gd_recovery_failed  Recovery failed
    gd_send_email_verification_failure  Email Verification Failed: Sending
    gd_send_pn_failure  Error Sending MFA Push Notification
    gd_send_sms_failure  Error Sending MFA SMS
    gd_send_voice_failure  MFA voice call failed
    gd_start_enroll_failed  MFA Enrollment Failed
    gd_webauthn_challenge_failed  WebAuthn browser error: Challenge
    gd_webauthn_enrollment_failed  WebAuthn browser error: Enrollment
    idjag_exchange_failed  Failed Exchange: Identity Assertion JWT
    jwt_bearer_exchange_failed  Failed Exchange: JWT Bearer Assertion
    kms_key_management_failure  Failed KMS API Operation
    my_account_authentication_method_failed  Failed authentication method operation in My Account API
    oidc_backchannel_logout_failed  Failed OIDC Back-Channel Logout request
    passkey_challenge_failed  Passkey Challenge Failed
    rich_consents_access_error  Rich Consents Access Error
    ss_sso_failure  Failed SS-SSO Operation
    universal_logout_failed  Failed Universal Logout request
    """
)
# Rate limits, blocked accounts and addresses, breached passwords.
LIMITS = _read(
    """
    api_limit  Rate Limit on the Authentication or Management APIs
    api_limit_warning  Rate Limit Warning on the Authentication or Management APIs
    gd_otp_rate_limit_exceed  Too many MFA failures
    gd_recovery_rate_limit_exceed  Multi-factor recovery code has failed too many times
    limit_delegation  Too Many Calls to /delegation
    limit_mu  Blocked IP Address
    limit_phone  Blocked Phone Delivery - Too many phone delivery attempts
    limit_sul  Blocked Account: Logins per IP
    limit_ui  Too Many Calls to /userinfo
    limit_wc  Blocked Account: Failed Logins
    pwd_leak  Breached password
    reset_pwd_leak  Breached Password on Reset
    signup_pwd_leak  Breached Password on Signup
    too_many_records  Max Amount of Authenticators
    """
)
# Successes, progress, notices and plain warnings.
OTHERS = _read(
    """
    acls_summary  Network ACLs Summary
    acul_sdk_notice  ACUL SDK Notice
    admin_update_launch  Auth0 Update Launched
    appi  Notice for API Peak Performance initiated
    ciba_exchange_succeeded  Successful CIBA Exchange
    ciba_start_succeeded  Successful CIBA Start
    cls  Code/Link Sent
    con  Connector Online
    connected_accounts_connection_succeeded  Successful Connected Account Connection
    connected_accounts_delete_succeeded  Successful Connected Account Delete
    cs  Code Sent
    depnote  Deprecation Notice
    directory_sync_completed  Inbound Directory Sync Completed
    directory_sync_started  Inbound Directory Sync Started
    du  Deleted User
    flows_execution_completed  Flows Execution Completed
    forms_submission_succeeded  Forms Submission Succeeded
    gd_auth_email_verification  Email Verification Confirmed
    gd_auth_succeed  MFA Auth success
    gd_enrollment_complete  MFA enrollment complete
    gd_recovery_succeed  MFA recovery success
    gd_send_email  MFA Email Sent
    gd_send_email_verification  Email Verification Sent
    gd_send_pn  Push notification sent
    gd_send_sms  MFA SMS Sent
    gd_send_voice  MFA voice call success
    gd_start_auth  Second factor started
    gd_start_enroll  MFA Enroll started
    gd_tenant_update  Guardian tenant update
    gd_unenroll  Unenroll device account
    gd_update_device_account  Update device account
    idjag_exchange_succeeded  Success Exchange: Identity Assertion JWT
    kms_key_management_success  Success KMS API Operation
    kms_key_state_changed  KMS Key State Change
    mfar  MFA Required
    mgmt_api_read  Management API read Operation
    my_account_authentication_method_succeeded  Successful authentication method operation in My Account API
    oidc_backchannel_logout_succeeded  Successful OIDC Back-Channel Logout request
    organization_member_added  Organization Member Added
    passkey_challenge_started  Passkey Challenge Started
    pla  Pre-login assessment
    resource_cleanup  Success Resource Cleanup
    s  Success Login
    sapi  Success API Operation
    sce  Success Change Email
    scoa  Success cross-origin authentication
    scp  Success Change Password
    scph  Success Post Change Password Hook
    scpn  Success Change Phone Number
    scpr  Success Change Password Request
    scu  Success Change Username
    scv  Success Credential Validation
    sd  Success Delegation
    sdel  Successful Delegated Login
    sdeleacft  Successful Exchange of Delegated Authorization Code for Access Token
    sdelsa  Successful Delegated Silent Authentication
    sdu  Success User Deletion
    seacft  Success Exchange: Authorization Code
    seccft  Success Exchange: Client Credentials
    secte  Success Exchange: Custom Token Exchange
    sede  Success Exchange: Device Code
    sens  Success Exchange: Native Social Login
    seoobft  Success Exchange: Password and OOB Challenge
    seotpft  Success Exchange: Password and OTP Challenge
    sepft  Success Exchange: Password
    sepkoobft  Success Exchange: Passkey and OOB Challenge
    sepkotpft  Success Exchange: Passkey and OTP Challenge
    sepkrcft  Success Exchange: Passkey and MFA Recovery Code
    sercft  Success Exchange: Password and MFA Recovery Code
    sertft  Success Exchange: Refresh Token
    seta  Success Exchange: Token Vault
    si  Successfully accepted a user invite
    slo  Success Logout
    srrt  Successfully revoked a refresh token
    ss  Success Signup
    ss_sso_info  Information from an SS-SSO Operation
    ss_sso_success  Success SS-SSO Operation
    ssa  Success Silent Auth
    sscim  Successful SCIM Operation
    success_on_behalf_of_token_exchange  Success Exchange: On-Behalf-Of Token Exchange
    sui  Successfully imported users
    sv  Success Verification Email
    svr  Success Verification Email Request
    sys_os_update_end  Auth0 OS Update Ended
    sys_os_update_start  Auth0 OS Update Started
    sys_update_end  Auth0 Update Ended
    sys_update_start  Auth0 Update Started
    ublkdu  User login block released
    universal_logout_succeeded  Successful Universal Logout request
    w  Warning During Login
    wn  Warning Sending Notification
    wum  Warning User Management
    """
)
NAMES = FAILURES | LIMITS | OTHERS
